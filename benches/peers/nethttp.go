// The peer of `hardy serve`: Go's own HTTP server with a fixed response.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello World!\n")
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
