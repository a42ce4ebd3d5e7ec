package netserve

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestTransferEnds has a client that acknowledges the first block and then does something else.
func TestTransferEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(client net.PacketConn, server net.Addr)
		want func(error) bool
	}{
		{"client ends it", func(client net.PacketConn, server net.Addr) {
			client.WriteTo(errorPacket(0, "enough"), server)
		}, func(err error) bool {
			var f failure
			return errors.As(err, &f) && f.message == "enough"
		}},
		{"client goes away", func(client net.PacketConn, _ net.Addr) { client.Close() },
			func(err error) bool { return errors.Is(err, errGone) }},
		{"client has all", func(client net.PacketConn, server net.Addr) {
			client.WriteTo([]byte{0, opAck, 0, 2}, server)
			client.Close()
		}, func(err error) bool { return err == nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := net.DialUDP("udp4", nil, client.LocalAddr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				client.SetDeadline(time.Now().Add(10 * time.Second))
				buffer := make([]byte, 1000)
				client.ReadFrom(buffer)
				client.WriteTo([]byte{0, opAck, 0, 1}, server.LocalAddr())
				client.ReadFrom(buffer)
				c.then(client, server.LocalAddr())
			}()
			file := bytes.NewReader(make([]byte, 600))
			err = newTransfer(server, file, file.Size(), terms{blockSize: 512, windowSize: 1}).run(nil)
			if !c.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// silent is a client that answers so many packets and is silent then; waiting for it takes no time.
type silent struct {
	net.Conn
	answers, sent int
}

func (c *silent) SetReadDeadline(time.Time) error { return nil }

func (c *silent) Write(data []byte) (int, error) {
	c.sent++
	return len(data), nil
}

func (c *silent) Read(buffer []byte) (int, error) {
	if c.sent > c.answers {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(buffer, []byte{0, opAck, 0, byte(c.sent)}), nil
}

func TestSilentClient(t *testing.T) {
	for answers, want := range []int{firstTries, 1 + maxTries} {
		client := &silent{answers: answers}
		file := bytes.NewReader(make([]byte, 600))
		err := newTransfer(client, file, file.Size(), terms{blockSize: 512, windowSize: 1}).run(nil)
		if client.sent != want || !errors.Is(err, errGone) {
			t.Errorf("%d answers: %d packets were sent, want %d; %v", answers, client.sent, want, err)
		}
	}
}

func TestFetchString(t *testing.T) {
	for _, c := range []struct {
		fetch fetch
		want  string
	}{
		{fetch{"boot/xen", 3_100_000, 3_100_000, 500 * time.Millisecond, nil}, "boot/xen  3.1 MB in 0.5 s, 6.2 MB/s"},
		{fetch{"boot/xen", 1000, 3_100_000, 20 * time.Millisecond, nil},
			"boot/xen  1.0 kB of 3.1 MB in 20 ms, 0.1 MB/s"},
		{fetch{"boot/xen", 1000, 3_100_000, time.Second, errGone},
			"boot/xen not complete, 1.0 kB of 3.1 MB: the client gave up, or cannot be reached"},
		{fetch{"\x1b[2J\x9b", 0, -1, 0, errNotServed}, `\x1b[2J\x9b not sent: no such file`},
	} {
		if got := c.fetch.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
