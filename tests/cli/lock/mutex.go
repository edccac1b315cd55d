// Holds a lock with etcd's own Go client while a command runs, the way a Go service would.
// Usage: mutex ENDPOINTS NAME COMMAND [ARG...]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
)

func main() {
	log.SetFlags(0)
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(os.Args[1], ",")})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	session, err := concurrency.NewSession(client, concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, os.Args[2])
	if err := mutex.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	// The revision of the answer orders with hardy's tokens.
	command := exec.Command(os.Args[3], os.Args[4:]...)
	command.Env = append(os.Environ(), fmt.Sprintf("HARDY_LOCK_TOKEN=%d", mutex.Header().Revision))
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		log.Fatal(err)
	}
	if err := mutex.Unlock(context.Background()); err != nil {
		log.Fatal(err)
	}
}
