package netcfg

import (
	"bytes"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// overloaded builds an ACK with options in file and sname.
func overloaded(fields byte, file, sname []byte) []byte {
	message := ack(raw(52, fields), raw(6, 192, 0, 2, 3)).ToBytes()
	copy(message[messageFile:], file)
	copy(message[messageSname:], sname)
	return message
}

func TestUnfold(t *testing.T) {
	router, search := []byte{3, 4, 192, 0, 2, 1, 255}, []byte{0, 119, 3, 1, 'b', 0, 255, 3, 4, 9, 9, 9, 9}
	tests := map[string]struct {
		message []byte
		gateway string
		search  []string
	}{
		"file":              {overloaded(1, router, search), "192.0.2.1", nil},
		"sname":             {overloaded(2, router, search), "invalid IP", []string{"b"}},
		"both":              {overloaded(3, router, search), "192.0.2.1", []string{"b"}},
		"cut short in file": {overloaded(3, append(make([]byte, 120), 3, 200), search), "invalid IP", []string{"b"}},
		"neither":           {overloaded(0, router, search), "invalid IP", nil},
	}
	for name, test := range tests {
		message := must(dhcpv4.FromBytes(unfold(test.message)))(t)
		lease := parse(t, message)
		if got := lease.Gateway().String(); got != test.gateway || !slices.Equal(lease.Search, test.search) {
			t.Errorf("%s: gateway %s, search %q", name, got, lease.Search)
		}
		if len(lease.DNS) != 1 {
			t.Errorf("%s: resolvers %v", name, lease.DNS)
		}
	}
}

func TestUnfoldJoinsSplitOptions(t *testing.T) {
	message := must(dhcpv4.FromBytes(unfold(overloaded(3, []byte{6, 2, 192, 0, 255}, []byte{6, 2, 2, 4, 255}))))(t)
	if got := parse(t, message).DNS; len(got) != 2 || got[1].String() != "192.0.2.4" {
		t.Errorf("resolvers %v", got)
	}
}

// FuzzUnfold holds for any bytes: nothing is lost of a message without option 52, and unfolding twice changes
// nothing more.
func FuzzUnfold(f *testing.F) {
	f.Add(overloaded(3, []byte{3, 4, 192, 0, 2, 1, 255}, []byte{1, 255}))
	f.Add(ack().ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		once := bytes.Clone(unfold(data))
		if !bytes.Equal(data, before) {
			t.Error("the message itself was changed")
		}
		if !bytes.Equal(unfold(once), once) {
			t.Errorf("unfolded twice: % x\nonce: % x", unfold(once), once)
		}
		message, err := dhcpv4.FromBytes(data)
		if err == nil && !message.Options.Has(dhcpv4.OptionOptionOverload) && !bytes.Equal(once, data) {
			t.Errorf("changed although nothing is overloaded: % x", data)
		}
	})
}
