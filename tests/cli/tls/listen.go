// Go's own TLS with everything it still speaks: CERTIFICATE KEY, and the address on stdout.
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	var suites []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, suite.ID)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS10,
		CipherSuites: suites,
		NextProtos:   []string{"http/1.1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ACCEPT", listener.Addr())
	server := http.Server{ErrorLog: log.New(os.Stderr, "", 0)}
	log.Fatal(server.Serve(listener))
}
