//go:build vm && full

package vm

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// hostile is a guest that does what it is told by this test, which it asks for orders over the network
// (test/vm/hostile).
type hostile struct {
	url    string // as seen by the machine
	orders chan string
	done   chan string
}

// serveHostile serves the program and its orders.
func serveHostile(t *testing.T) *hostile {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hostile")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./hostile")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build hostile: %v\n%s", err, out)
	}
	h := &hostile{orders: make(chan string), done: make(chan string, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("/hostile", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, program) })
	mux.HandleFunc("/order", h.giveOrder)
	mux.HandleFunc("/done", func(_ http.ResponseWriter, r *http.Request) {
		said, _ := io.ReadAll(r.Body)
		h.done <- string(said)
	})
	h.url = fmt.Sprintf("http://10.0.2.2:%d", serveHTTP(t, mux))
	return h
}

// giveOrder answers once there is an order.
func (h *hostile) giveOrder(w http.ResponseWriter, r *http.Request) {
	select {
	case order := <-h.orders:
		_, _ = io.WriteString(w, order)
	case <-r.Context().Done():
	}
}

// fetchProgram is a command line that fetches the program to /tmp/hostile.
func (h *hostile) fetchProgram() string {
	return "wget -O /tmp/hostile " + h.url + "/hostile && chmod 755 /tmp/hostile"
}

// hostileGuest is the guest that the program runs in.
const hostileGuest = "hostile"

// begin has the guest ask for orders. The first one is nothing: its console is open.
func (h *hostile) begin(m *VM) {
	m.FromNow().Enter("xl console " + hostileGuest)
	m.Until("the guest asks for orders", consoleLimit, func() bool {
		m.Enter(h.fetchProgram() + " && (nohup /tmp/hostile " + h.url + " > /dev/null 2>&1 &)")
		select {
		case h.orders <- "nothing":
			return true
		case <-time.After(20 * time.Second):
			return false
		}
	})
	<-h.done
	m.leaveConsole()
}

// order gives the guest an order.
func (h *hostile) order(name string) func(*VM) {
	return func(m *VM) {
		m.t.Helper()
		ctx, cancel := m.Within(faultLimit)
		defer cancel()
		select {
		case h.orders <- name:
		case <-ctx.Done():
			m.fail("give the order "+name, ctx.Err())
		}
	}
}

// finish waits until the guest has carried an order out, and returns what became of it.
func (h *hostile) finish(m *VM) string {
	m.t.Helper()
	ctx, cancel := m.Within(faultLimit)
	defer cancel()
	select {
	case said := <-h.done:
		return said
	case <-ctx.Done():
		m.fail("wait until an order is carried out", ctx.Err())
		return ""
	}
}

// fault is a fault that an order to the guest provokes. It carries the order out to its end.
func (h *hostile) fault(name, order, line string) fault {
	return fault{name: name, provoke: h.order(order), line: line, mend: func(m *VM) {
		if said := h.finish(m); said != "ok" {
			m.Errorf("the order %s: %s", order, said)
		}
	}}
}
