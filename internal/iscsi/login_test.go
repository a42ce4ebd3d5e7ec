package iscsi

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// script answers a login's PDUs: each entry is an answer. It keeps what it was asked.
type script struct {
	t       *testing.T
	answers []answer
	asked   []keys
}

// answer is one PDU of the target's.
type answer struct {
	class, detail byte
	current, next loginStage
	transit, more bool
	text          string // keys with | between them
	raw           []byte // in place of all this
}

func (s *script) exchange(pdu []byte) ([]byte, error) {
	if len(pdu) < headerSize || pdu[0] != opLogin || len(pdu) != headerSize+dataLength(pdu) {
		s.t.Errorf("a bad request: %x", pdu)
	}
	said, err := parseText(pdu[headerSize:])
	if err != nil {
		s.t.Error(err)
	}
	s.asked = append(s.asked, said)
	if len(s.answers) == 0 {
		return nil, errors.New("the script has ended")
	}
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if a.raw != nil {
		return a.raw, nil
	}
	return a.encode(), nil
}

func (a answer) encode() []byte {
	data := []byte(strings.ReplaceAll(a.text, "|", "\x00"))
	if len(data) > 0 {
		data = append(data, 0)
	}
	pdu := make([]byte, headerSize, headerSize+len(data)+3)
	pdu[0], pdu[1] = opLoginResponse, byte(a.current)<<2
	if a.transit {
		pdu[1] |= flagTransit | byte(a.next)
	}
	if a.more {
		pdu[1] |= flagContinue
	}
	putLength(pdu, len(data))
	pdu[27] = 7 // StatSN
	pdu[36], pdu[37] = a.class, a.detail
	return append(append(pdu, data...), make([]byte, -len(data)&3)...)
}

// Common answers.
var (
	toOperational = answer{current: security, next: operational, transit: true, text: "AuthMethod=None"}
	toFull        = answer{current: operational, next: fullFeature, transit: true, text: "MaxBurstLength=4096"}
)

func newLogin(t *testing.T, secrets string, answers ...answer) (*login, *script) {
	t.Helper()
	target, err := parseTarget(secrets + "nas::::iqn.2026-01.org.example:disk")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, answers: answers}
	return &login{target: target, initiator: "iqn.2026-01.org.example:me", exchange: s.exchange}, s
}

func TestLogin(t *testing.T) {
	full := toFull
	full.text = "HeaderDigest=CRC32C|DataDigest=None|InitialR2T=Yes|ImmediateData=No|MaxRecvDataSegmentLength=65536|" +
		"MaxBurstLength=16384|FirstBurstLength=262144|MaxConnections=1|TargetAlias=disk|DataPDUInOrder=Yes"
	l, s := newLogin(t, "", toOperational, full)
	got, err := l.run()
	want := parameters{
		headerDigest: true, initialR2T: true, maxSend: 65536, maxBurst: 16384, firstBurst: 16384, maxR2T: 1,
		inOrder: true, sequenceInOrder: true,
	}
	if err != nil || got != want || l.expStatSN != 8 {
		t.Errorf("%+v, %v, StatSN %d", got, err, l.expStatSN)
	}
	first := keys{
		"AuthMethod": "None", "SessionType": "Normal",
		"TargetName": "iqn.2026-01.org.example:disk", "InitiatorName": "iqn.2026-01.org.example:me",
	}
	for key, want := range first {
		if said := s.asked[0][key]; said != want {
			t.Errorf("the first request has %s=%s, want %s", key, said, want)
		}
	}
}

// TestLoginGoesOn has a target that takes its time: its answer comes in two PDUs, it asks for keys of its own, and it
// goes to the next stages only when it is asked once more.
func TestLoginGoesOn(t *testing.T) {
	l, s := newLogin(t, "",
		answer{current: security, text: "AuthMethod=None"},
		answer{current: security, next: operational, transit: true},
		answer{current: operational, more: true, text: "MaxBurstLength=81"},
		answer{current: operational, text: "92|X-com.example.key=1|IFMarker=No"},
		answer{current: operational, next: fullFeature, transit: true},
	)
	// The first PDU's text goes on in the middle of a value.
	s.answers[2].raw = bytes.TrimSuffix(s.answers[2].encode()[:headerSize+17], []byte{0})
	putLength(s.answers[2].raw, len(s.answers[2].raw)-headerSize)
	got, err := l.run()
	if err != nil || got.maxBurst != 8192 {
		t.Fatalf("%+v, %v", got, err)
	}
	if last := s.asked[4]; last["X-com.example.key"] != "NotUnderstood" || last["IFMarker"] != "NotUnderstood" {
		t.Errorf("the target's own keys are answered with %v", last)
	}
}

func TestLoginFails(t *testing.T) {
	full := func(text string) answer {
		return answer{current: operational, next: fullFeature, transit: true, text: text}
	}
	ask := func(text string) answer { return answer{current: security, text: text} }
	for name, test := range map[string]struct {
		secrets string
		answers []answer
		says    string
	}{
		"status":             {"", []answer{{class: 2, detail: 3}}, "no such target"},
		"unknown status":     {"", []answer{{class: 9, detail: 9}}, "status 9.9"},
		"elsewhere":          {"", []answer{{class: 1, text: "TargetAddress=[fe80::1]:99,1"}}, "at [fe80::1]:99"},
		"elsewhere, nowhere": {"", []answer{{class: 1}}, "does not say which"},
		"wants a password":   {"", []answer{ask("AuthMethod=CHAP")}, "wants a name"},
		"no own password":    {"me:a:it:b@", []answer{ask("AuthMethod=None")}, "does not ask for a password"},
		"other stage":        {"", []answer{{current: fullFeature}}, "stage 3"},
		"too far":            {"", []answer{{current: security, next: fullFeature, transit: true}}, "unasked"},
		"never ends":         {"", []answer{ask("AuthMethod=None")}, "does not end"},
		"never complete":     {"", []answer{{more: true, text: "a=b"}}, "does not end"},
		"much":               {"", []answer{{more: true, text: strings.Repeat("x", 8000)}}, "does not end"},
		"Reject":             {"", []answer{toOperational, full("HeaderDigest=Reject")}, "rejects"},
		"not offered":        {"", []answer{toOperational, full("HeaderDigest=MD5")}, "not offered"},
		"no size":            {"", []answer{toOperational, full("MaxBurstLength=1")}, "no number"},
		"no switch":          {"", []answer{toOperational, full("InitialR2T=\x1b")}, "neither Yes nor No"},
		"out of order":       {"", []answer{toOperational, full("DataPDUInOrder=No")}, "out of order"},
		"short":              {"", []answer{{raw: []byte{opLoginResponse}}}, "too early"},
		"other kind":         {"", []answer{{raw: make([]byte, headerSize)}}, "another kind"},
		"algorithm":          {"me:a@", []answer{ask("AuthMethod=CHAP"), ask("CHAP_A=\x1b[2J")}, "not offered"},
		"no challenge":       {"me:a@", []answer{ask("AuthMethod=CHAP"), ask("CHAP_A=5|CHAP_I=1")}, "CHAP_C"},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newLogin(t, test.secrets, test.answers...)
			_, err := l.run()
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

// TestChap compares with a response that was computed by hand: MD5 of the identifier, the password and the challenge.
func TestChap(t *testing.T) {
	c := &chap{out: Secret{"me", "secret"}, in: Secret{"it", "other"}}
	pairs, err := c.answer(keys{"CHAP_A": "5", "CHAP_I": "7", "CHAP_C": "0bYWJj"})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("0x%x", md5.Sum([]byte("\x07secretabc")))
	if pairs[0] != (pair{"CHAP_N", "me"}) || pairs[1] != (pair{"CHAP_R", want}) || len(pairs) != 4 {
		t.Errorf("%v, want %s", pairs, want)
	}
	right := fmt.Sprintf("0x%x", c.respond(c.id, c.in, c.challenge))
	for response, ok := range map[string]bool{right: true, right[:20]: false, "0x00": false, "": false} {
		if err := c.check(keys{"CHAP_N": "it", "CHAP_R": response}); (err == nil) != ok {
			t.Errorf("%s: %v", response, err)
		}
	}
	if c.check(keys{"CHAP_N": "me", "CHAP_R": right}) == nil {
		t.Error("another name passes")
	}
	if c.check(keys{"CHAP_N": "it", "CHAP_R": fmt.Sprintf("0x%x", c.respond(c.id, c.out, c.challenge))}) == nil {
		t.Error("our own password passes for the target's")
	}
}

func FuzzLoginResponse(f *testing.F) {
	f.Add(toOperational.encode())
	f.Add(answer{class: 1, text: "TargetAddress=nas:3260,1"}.encode())
	f.Add(answer{current: security, text: "CHAP_A=5|CHAP_I=1|CHAP_C=0x00112233445566778899aabbccddeeff"}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseLoginResponse(data)
		if err == nil && len(r.data) > maxLoginData {
			t.Errorf("%d bytes of data", len(r.data))
		}
		_, _ = asyncEvent(data)
	})
}

func FuzzText(f *testing.F) {
	f.Add([]byte("HeaderDigest=None\x00MaxBurstLength=262144\x00CHAP_C=0bYWJj\x00"))
	f.Add([]byte("TargetAddress=[fe80::1]:3260,1\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		said, err := parseText(data)
		if err != nil {
			return
		}
		if len(said) > maxPairs {
			t.Errorf("%d keys", len(said))
		}
		p := defaults
		if _, err := p.take(said); err == nil {
			_ = p.check()
			if p.maxSend < minSize || p.maxSend > maxDataLength || p.firstBurst > p.maxBurst ||
				p.maxBurst > offerMaxBurst {
				t.Errorf("%+v", p)
			}
		}
		c := &chap{out: Secret{"a", "b"}, in: Secret{"c", "d"}}
		if _, err := c.answer(said); err == nil && c.check(said) == nil {
			t.Error("the target has guessed a response")
		}
		var elsewhere redirected
		if errors.As(redirection(data), &elsewhere) && strings.ContainsFunc(elsewhere.address, isOdd) {
			t.Errorf("%q", elsewhere.address)
		}
	})
}

// FuzzLogin has a target answer with anything, PDU after PDU.
func FuzzLogin(f *testing.F) {
	f.Add(append(toOperational.encode(), toFull.encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		target, err := parseTarget("me:a:it:b@nas::::iqn.2026-01.org.example:disk")
		if err != nil {
			t.Fatal(err)
		}
		l := &login{target: target, initiator: "iqn.x", exchange: func([]byte) ([]byte, error) {
			if len(data) < headerSize {
				return nil, errors.New("end")
			}
			n := min(len(data), headerSize+(dataLength(data)+3)&^3)
			pdu := data[:n]
			data = data[n:]
			return pdu, nil
		}}
		if _, err := l.run(); err == nil {
			t.Error("a target without a password got in")
		}
	})
}
