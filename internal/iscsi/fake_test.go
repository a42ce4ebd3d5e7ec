package iscsi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// fakeKernel is an initiator that does nothing but pass PDUs on, as the kernel does during a login.
type fakeKernel struct {
	mu       sync.Mutex
	sessions []*fakeSession
	left     bool // a program has left a session behind
}

func (k *fakeKernel) Adopt(Target) Session {
	if !k.left {
		return nil
	}
	s, _ := k.Open()
	return s
}

func (k *fakeKernel) Open() (Session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &fakeSession{received: make(chan []byte, 64), failed: make(chan error, 1), params: map[Param]string{}}
	k.sessions = append(k.sessions, s)
	return s, nil
}

// only returns the one session that was made.
func (k *fakeKernel) only(t *testing.T) *fakeSession {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.sessions) != 1 {
		t.Fatalf("%d sessions were made, want one", len(k.sessions))
	}
	return k.sessions[0]
}

type fakeSession struct {
	received chan []byte
	failed   chan error

	mu      sync.Mutex
	conn    net.Conn
	params  map[Param]string
	tag     uint32
	started int
	stopped int
	scans   int
}

// Bind keeps the connection by another descriptor, as the kernel does.
func (s *fakeSession) Bind(conn *net.TCPConn) error {
	file, err := conn.File()
	if err != nil {
		return err
	}
	defer file.Close()
	copied, err := net.FileConn(file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		return errors.New("the session has a connection")
	}
	s.conn = copied
	go s.read(copied)
	return nil
}

// read passes on what the target sends.
func (s *fakeSession) read(conn net.Conn) {
	for {
		pdu, err := readPDU(conn)
		s.mu.Lock()
		current := s.conn == conn
		s.mu.Unlock()
		if !current {
			return
		}
		if err != nil {
			select {
			case s.failed <- errors.New("the connection has broken"):
			default:
			}
			return
		}
		s.received <- pdu
	}
}

// Send fills in the tag and the number of the command.
func (s *fakeSession) Send(pdu []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return errors.New("there is no connection")
	}
	s.tag++
	binary.BigEndian.PutUint32(pdu[16:], s.tag)
	binary.BigEndian.PutUint32(pdu[24:], 1)
	return writePDU(s.conn, pdu)
}

func (s *fakeSession) Set(p Param, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return errors.New("there is no connection")
	}
	s.params[p] = value
	return nil
}

func (s *fakeSession) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
	return nil
}

func (s *fakeSession) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped++
	if s.conn == nil {
		return errors.New("there is no connection")
	}
	s.conn.Close()
	s.conn = nil
	return nil
}

func (s *fakeSession) Received() <-chan []byte { return s.received }
func (s *fakeSession) Failed() <-chan error    { return s.failed }

func (s *fakeSession) Scan(_ context.Context, lun uint64) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	if lun > 1 {
		return "", fmt.Errorf("the target has no LUN %d", lun)
	}
	return "/dev/fake", nil
}

// param is what was set.
func (s *fakeSession) param(p Param) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params[p]
}

// readPDU reads a PDU without digests.
func readPDU(r io.Reader) ([]byte, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size := 4*int(header[4]) + (dataLength(header)+3)&^3
	pdu := append(header, make([]byte, size)...)
	_, err := io.ReadFull(r, pdu[headerSize:])
	return pdu, err
}

// writePDU writes a PDU with its padding.
func writePDU(w io.Writer, pdu []byte) error {
	_, err := w.Write(append(pdu, make([]byte, -len(pdu)&3)...))
	return err
}
