package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// qmp is a client of QEMU's machine protocol (QEMU's docs/interop/qmp-spec): one JSON object a
// line, a greeting first, events at any time. One command runs at a time.
type qmp struct {
	mu   sync.Mutex
	conn io.ReadWriteCloser
	in   *json.Decoder
}

// reply is any message of QEMU's.
type reply struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// newQMP reads the greeting and leaves the negotiation mode.
func newQMP(conn io.ReadWriteCloser) (*qmp, error) {
	q := &qmp{conn: conn, in: json.NewDecoder(conn)}
	var greeting reply
	if err := q.in.Decode(&greeting); err != nil {
		return nil, fmt.Errorf("QMP: no greeting from QEMU: %w", err)
	}
	if greeting.Greeting == nil {
		return nil, errors.New("QMP: what QEMU says first is no greeting")
	}
	_, err := q.execute("qmp_capabilities", nil)
	return q, err
}

// execute runs a command and returns its result; events in between are dropped.
func (q *qmp) execute(command string, arguments map[string]any) (json.RawMessage, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	message := map[string]any{"execute": command}
	if arguments != nil {
		message["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(message); err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		var r reply
		if err := q.in.Decode(&r); err != nil {
			return nil, fmt.Errorf("QMP %s: %w", command, err)
		}
		switch {
		case r.Error != nil:
			return nil, fmt.Errorf("QMP %s: %s", command, r.Error.Desc)
		case r.Return != nil:
			return r.Return, nil
		}
	}
}

// QMP runs a QMP command.
func (p *Process) QMP(command string, arguments map[string]any) (json.RawMessage, error) {
	return p.qmp.execute(command, arguments)
}

// Screenshot writes the screen to path as PNG.
func (p *Process) Screenshot(path string) error {
	_, err := p.QMP("screendump", map[string]any{"filename": path, "format": "png"})
	return err
}

// PowerButton presses the power button (ACPI).
func (p *Process) PowerButton() error {
	_, err := p.QMP("system_powerdown", nil)
	return err
}

// Press holds keys down together; names are QEMU's: "ctrl", "alt", "delete", "ret".
func (p *Process) Press(keys ...string) error {
	var codes []map[string]any
	for _, key := range keys {
		codes = append(codes, map[string]any{"type": "qcode", "data": key})
	}
	_, err := p.QMP("send-key", map[string]any{"keys": codes})
	return err
}

// Plug adds a device: its driver, its id and further properties.
func (p *Process) Plug(driver, id string, properties map[string]any) error {
	arguments := map[string]any{"driver": driver, "id": id}
	for key, value := range properties {
		arguments[key] = value
	}
	_, err := p.QMP("device_add", arguments)
	return err
}

// Unplug removes the device id.
func (p *Process) Unplug(id string) error {
	_, err := p.QMP("device_del", map[string]any{"id": id})
	return err
}

// Forward makes port of address, an address in the user network of NIC number nic, reachable
// from here and returns where. It can be asked for once the address is known.
func (p *Process) Forward(ctx context.Context, nic int, address string, port int) (string, error) {
	free, err := FreePort(0)
	if err != nil {
		return "", err
	}
	rule := Forward{HostPort: free, Address: address, Port: port}.rule()
	add := fmt.Sprintf("hostfwd_add net%d %s", nic, rule)
	out, err := p.QMP("human-monitor-command", map[string]any{"command-line": add})
	if err != nil {
		return "", err
	}
	var said string
	if err := json.Unmarshal(out, &said); err != nil || strings.TrimSpace(said) != "" {
		return "", fmt.Errorf("hostfwd_add %s: %s", rule, strings.TrimSpace(said))
	}
	return fmt.Sprintf("127.0.0.1:%d", free), ctx.Err()
}
