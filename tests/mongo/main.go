// A MongoDB-compatible server for tests: FerretDB on its embedded SQLite backend, behind a gateway that makes writes
// atomic. It listens on the loopback interface, prints its URI on standard output once it is ready, and ends on
// SIGTERM, on SIGINT and with its parent.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// watchParent ends the program when the one that started it is gone. PR_SET_PDEATHSIG would fire too early: when
// the thread that started it ends.
func watchParent(parent int, stop func()) {
	for os.Getppid() == parent {
		time.Sleep(200 * time.Millisecond)
	}
	stop()
}

func run(listen, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go watchParent(os.Getppid(), stop)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
	})
	if err != nil {
		return err
	}
	go func() {
		address, err := startGateway(listen, server.MongoDBURI()) // which blocks until it listens
		if err != nil {
			fatal(err)
		}
		fmt.Printf("mongodb://%s/\n", address)
	}()
	return server.Run(ctx)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mongo:", err)
	os.Exit(1)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	dir := flag.String("dir", "", "directory of the databases; made if missing")
	flag.Parse()
	if *dir == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*listen, *dir); err != nil {
		fatal(err)
	}
}
