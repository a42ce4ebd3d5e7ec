package privnet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var testZone = zone{"guests.internal", netip.MustParsePrefix("10.77.0.1/24"), map[string]netip.Addr{
	"web": netip.MustParseAddr("10.77.0.5"), "old.box": netip.MustParseAddr("10.77.0.6"),
}}

func query(name string, kind dnsmessage.Type) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET})
	message, _ := b.Finish()
	return message
}

func TestZone(t *testing.T) {
	const a, ptr, aaaa = dnsmessage.TypeA, dnsmessage.TypePTR, dnsmessage.TypeAAAA
	for _, test := range []struct {
		name string
		kind dnsmessage.Type
		want string // "foreign", or the code and the first answer
	}{
		{"web.guests.internal.", a, "RCodeSuccess 10.77.0.5"},
		{"WEB.guests.INTERNAL.", a, "RCodeSuccess 10.77.0.5"},
		{"web.", a, "RCodeSuccess 10.77.0.5"},
		{"old.box.guests.internal.", a, "RCodeSuccess 10.77.0.6"},
		{"old.box.", a, "foreign"}, // it could be anybody's
		{"web.guests.internal.", aaaa, "RCodeSuccess"},
		{"db.guests.internal.", a, "RCodeNameError"},
		{"db.", a, "RCodeNameError"},
		{"guests.internal.", a, "RCodeSuccess"},
		{"xguests.internal.", a, "foreign"},
		{"example.com.", a, "foreign"},
		{".", a, "foreign"},
		{"5.0.77.10.in-addr.arpa.", ptr, "RCodeSuccess web.guests.internal."},
		{"9.0.77.10.in-addr.arpa.", ptr, "RCodeNameError"},
		{"9.0.78.10.in-addr.arpa.", ptr, "foreign"},
		{"x.0.77.10.in-addr.arpa.", ptr, "foreign"},
	} {
		reply, verdict := testZone.resolve(query(test.name, test.kind))
		got := "foreign"
		if verdict == answered {
			got = describe(t, reply)
		}
		if got != test.want {
			t.Errorf("%s %s: %s, want %s", test.name, test.kind, got, test.want)
		}
	}
}

// describe is the code and the first answer of a reply.
func describe(t *testing.T, reply []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil || m.ID != 7 || !m.Response || !m.RecursionDesired {
		t.Fatalf("%+v, %v", m, err)
	}
	text := m.RCode.String()
	for _, answer := range m.Answers {
		switch r := answer.Body.(type) {
		case *dnsmessage.AResource:
			text += " " + netip.AddrFrom4(r.A).String()
		case *dnsmessage.PTRResource:
			text += " " + r.PTR.String()
		}
	}
	return text
}

func TestWhatIsNoQuery(t *testing.T) {
	question := query("web.", dnsmessage.TypeA)
	reply, _ := testZone.resolve(question)
	for name, message := range map[string][]byte{"nothing": nil, "short": {1, 2, 3}, "an answer": reply} {
		if _, verdict := testZone.resolve(message); verdict != ignored {
			t.Errorf("%s: %v", name, verdict)
		}
	}
	none, two := slices.Clone(question), slices.Clone(question)
	none[5] = 0
	two[5] = 2
	for _, message := range [][]byte{none[:12], two} {
		if reply, _ := testZone.resolve(message); !strings.HasPrefix(describeCode(reply), "RCodeFormatError") {
			t.Errorf("%q", reply)
		}
	}
	update := slices.Clone(question)
	update[2] |= 5 << 3
	if reply, _ := testZone.resolve(update); describeCode(reply) != "RCodeNotImplemented" {
		t.Errorf("%q", reply)
	}
}

func describeCode(reply []byte) string {
	var m dnsmessage.Message
	_ = m.Unpack(reply)
	return m.RCode.String()
}

// An answer has to be to the question that was asked, under its number.
func TestAnswers(t *testing.T) {
	asked := query("example.com.", dnsmessage.TypeA)
	good := slices.Clone(asked)
	good[2] |= 0x80
	other := query("example.org.", dnsmessage.TypeA)
	other[2] |= 0x80
	for _, test := range []struct {
		message []byte
		id      uint16
		want    bool
	}{{good, 7, true}, {good, 8, false}, {asked, 7, false}, {other, 7, false}, {good[:13], 7, false}} {
		if got := answers(test.message, asked, test.id); got != test.want {
			t.Errorf("%q number %d: %v", test.message, test.id, got)
		}
	}
}

func TestResolvConf(t *testing.T) {
	got := parseResolvConf("# nameserver 9.9.9.9\nsearch x\n" +
		"nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\n")
	if len(got) != 2 || got[0].String() != "192.0.2.1" {
		t.Errorf("%v", got)
	}
}

func TestFreeSubnet(t *testing.T) {
	for _, test := range []struct {
		inUse string
		n     int
		want  string
	}{
		{"192.168.1.0/24", 0, "10.77.0.1/24"}, {"10.77.0.0/24", 0, "10.77.1.1/24"},
		{"10.77.0.0/17", 0, "10.77.128.1/24"}, {"10.0.0.0/8", 0, ""},
		{"192.168.1.0/24", 1, "10.77.1.1/24"}, {"10.77.255.0/24", 255, "10.77.0.1/24"},
	} {
		got, err := FreeSubnet([]netip.Prefix{netip.MustParsePrefix(test.inUse)}, test.n)
		if (err != nil) != (test.want == "") || err == nil && got.String() != test.want {
			t.Errorf("%s, %d: %s, %v", test.inUse, test.n, got, err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	f.Add(query("web.guests.internal.", dnsmessage.TypeA))
	f.Add(query("5.0.77.10.in-addr.arpa.", dnsmessage.TypePTR))
	f.Add(query("example.com.", dnsmessage.TypeAAAA))
	f.Fuzz(func(t *testing.T, message []byte) {
		reply, verdict := testZone.resolve(message)
		if verdict == answered && (len(reply) < 12 || reply[2]&0x80 == 0 || len(reply) > 1024) {
			t.Errorf("reply %q", reply)
		}
		if verdict == foreign {
			refusal(message)
			answers(message, message, 0)
		}
	})
}
