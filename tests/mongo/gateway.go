package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
)

const (
	headerBytes     = 16
	maxMessageBytes = 48_000_000
	opMsg           = 2013
)

// gateway stands before FerretDB and lets one writing command through at a time. MongoDB finds and updates a document in one
// step; FerretDB's SQLite backend reads first and writes later, and what came in between is lost.
type gateway struct {
	upstream string
	write    sync.Mutex
}

// isWrite tells by the name of the command: the first key of the document in an OP_MSG.
func isWrite(message []byte) bool {
	const start = headerBytes + 4 + 1 + 4 + 1 // flag bits, kind of section, length of document, type of element
	if len(message) <= start || binary.LittleEndian.Uint32(message[12:]) != opMsg {
		return false
	}
	name := message[start:]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	switch string(name) {
	case "insert", "update", "delete", "findAndModify", "findandmodify", "createIndexes", "create", "drop":
		return true
	}
	return false
}

func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < headerBytes || n > maxMessageBytes {
		return nil, errors.New("not a message of MongoDB's wire protocol")
	}
	message := make([]byte, n)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

func (g *gateway) ask(server net.Conn, request []byte) ([]byte, error) {
	if isWrite(request) {
		g.write.Lock()
		defer g.write.Unlock()
	}
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(server)
}

// serve passes messages on: to each request there is one reply.
func (g *gateway) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := readMessage(client)
		if err != nil {
			return
		}
		reply, err := g.ask(server, request)
		if err != nil {
			return
		}
		if _, err = client.Write(reply); err != nil {
			return
		}
	}
}

// startGateway listens and returns at once, with the address that clients use.
func startGateway(listen, uri string) (string, error) {
	upstream, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	g := &gateway{upstream: upstream.Host}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go g.serve(client)
		}
	}()
	return listener.Addr().String(), nil
}
