package xenring

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestRequest holds the arguments to the layout of struct xen_sysctl_readconsole.
func TestRequest(t *testing.T) {
	request := make([]byte, 32)
	encode(request, 0x01020304, 0x1122334455667788, 0x4000)
	want := []byte{
		0, 1, 0, 0, // clear, incremental, padding
		4, 3, 2, 1, // index
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // buffer
		0, 0x40, 0, 0, // count
	}
	if !bytes.Equal(request[:len(want)], want) {
		t.Errorf("% x\nwant % x", request[:len(want)], want)
	}
	if index, count := decode(request); index != 0x01020304 || count != 0x4000 {
		t.Errorf("%#x, %#x", index, count)
	}
}

func TestLines(t *testing.T) {
	var l Lines
	for _, test := range []struct {
		text string
		want []string
	}{
		{"(XEN) a\r\n(XEN) b", []string{"(XEN) a"}}, {"", nil}, {"c\n\n", []string{"(XEN) bc"}}, {"\n", nil},
		{strings.Repeat("x", maxLine), []string{strings.Repeat("x", maxLine)}}, {"d\n", []string{"d"}},
	} {
		if got := l.Cut(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%.20q: %.40q, want %.40q", test.text, got, test.want)
		}
	}
}

func TestUrgent(t *testing.T) {
	for line, want := range map[string]bool{
		"(XEN) Xen WARN at x.c:1": false, "(XEN) [VT-D] ERROR: x": true,
		"(XEN) Domain 3 (vcpu#0) crashed on cpu#1:": true,
		"(XEN) Dom0 has maximum 2 VCPUs":            false, "ERROR in a guest's line": false,
		"(XEN) Std. Loglevel: Errors, warnings and info": false,
	} {
		if Urgent(line) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\r\n", "b")
	f.Fuzz(func(t *testing.T, a, b string) {
		var l Lines
		for _, line := range append(l.Cut(a), l.Cut(b)...) {
			if strings.Contains(line, "\n") {
				t.Errorf("%q", line)
			}
		}
	})
}
