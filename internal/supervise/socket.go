package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// What Serve expects of a client: one line, "VERB NAME", soon. It answers with one line, "ok" or what is wrong.
const (
	maxRequest   = 256 // bytes
	requestLimit = 10 * time.Second
	answerOK     = "ok"
)

// Serve takes orders about services from root, at a socket that only root can open, until ctx ends.
func (t *Table) Serve(ctx context.Context, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go t.answer(ctx, client)
	}
}

func (t *Table) answer(ctx context.Context, client net.Conn) {
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(requestLimit))
	line, err := bufio.NewReader(io.LimitReader(client, maxRequest)).ReadString('\n')
	if err != nil {
		return
	}
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	answer := answerOK // the order may be about the service that this is part of
	if err := t.Order(context.WithoutCancel(ctx), verb, name); err != nil {
		answer = printable.Line(err.Error())
	}
	_ = client.SetDeadline(time.Now().Add(requestLimit)) // the order may have taken longer
	fmt.Fprintln(client, answer)
}

// Serves says whether somebody takes orders at the socket.
func Serves(socket string) bool {
	server, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	_ = server.Close()
	return true
}

// Ask gives the order at the socket of Serve and waits for what becomes of it.
func Ask(socket, verb, name string) error {
	server, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("%s %s: init takes no orders: %w", verb, name, err)
	}
	defer server.Close()
	if _, err := fmt.Fprintf(server, "%s %s\n", verb, name); err != nil {
		return err
	}
	answer, err := bufio.NewReader(server).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s %s: no answer: %w", verb, name, err)
	}
	if answer = strings.TrimSpace(answer); answer != answerOK {
		return errors.New(answer)
	}
	return nil
}
