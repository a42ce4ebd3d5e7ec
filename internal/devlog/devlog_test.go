package devlog

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for message, want := range map[string]Message{
		"<28>Nov 27 09:00:00 xenstored: write rate limit: domain 1 is affected\n": {
			4, "xenstored", "write rate limit: domain 1 is affected",
		},
		"<30>Nov  7 09:00:00 xl[12]: a\x1b[2J\x00": {6, "xl", `a\x1b[2J`},
		"<13>no time: here":                        {5, "", "no time: here"},
		"plain":                                    {5, "", "plain"},
		"<999>Nov 27 09:00:00 a: b":                {5, "", "<999>Nov 27 09:00:00 a: b"},
		"<3>":                                      {3, "", ""},
		"":                                         {5, "", ""},
		"<3>: b":                                   {3, "", ": b"},
	} {
		if got := Parse(message); got != want {
			t.Errorf("%q: %+v, want %+v", message, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("<28>Nov 27 09:00:00 xenstored[1]: text\n")
	f.Fuzz(func(t *testing.T, message string) {
		if m := Parse(message); m.Severity < 0 || m.Severity > 7 {
			t.Errorf("%q: %+v", message, m)
		}
	})
}

// What a program writes to the socket arrives, and a socket that an earlier process has left is no hindrance.
func TestServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		heard, ended := make(chan Message, 1), make(chan error, 1)
		go func() { ended <- Serve(ctx, path, func(m Message) { heard <- m }) }()
		var conn net.Conn
		for end := time.Now().Add(30 * time.Second); conn == nil && time.Now().Before(end); {
			conn, _ = net.Dial("unixgram", path)
			time.Sleep(time.Millisecond)
		}
		if conn == nil {
			t.Fatal("nobody listens")
		}
		if _, err := conn.Write([]byte("<12>Nov 27 09:00:00 a: b")); err != nil {
			t.Fatal(err)
		}
		if m := <-heard; m != (Message{4, "a", "b"}) {
			t.Errorf("%+v", m)
		}
		conn.Close()
		cancel()
		<-ended
	}
}
