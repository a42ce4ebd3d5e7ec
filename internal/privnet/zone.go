package privnet

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what dom0's DNS server knows itself.
type zone struct {
	domain string // without dots at its ends, lower case
	prefix netip.Prefix
	hosts  map[string]netip.Addr // by name, lower case
}

// ttl is how long others may remember a guest's address, seconds.
const ttl = 30

// verdict is what becomes of a query.
type verdict int

const (
	ignored  verdict = iota // it is no query at all
	answered                // here
	foreign                 // it is for a resolver
)

// resolve answers a query (RFC 1035, section 4) that is about the zone or cannot be understood.
func (z zone) resolve(query []byte) ([]byte, verdict) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil, ignored
	}
	question, err := parser.Question()
	if err != nil {
		return failure(header, nil, dnsmessage.RCodeFormatError), answered
	}
	if _, err := parser.Question(); err != dnsmessage.ErrSectionDone {
		return failure(header, nil, dnsmessage.RCodeFormatError), answered
	}
	if header.OpCode != 0 {
		return failure(header, &question, dnsmessage.RCodeNotImplemented), answered
	}
	return z.lookUp(header, question)
}

func (z zone) lookUp(header dnsmessage.Header, question dnsmessage.Question) ([]byte, verdict) {
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	if address, ok := reverse(name); ok {
		if !z.prefix.Contains(address) {
			return nil, foreign
		}
		return z.pointer(header, question, address), answered
	}
	host, within := strings.CutSuffix(name, "."+z.domain)
	switch {
	case name == z.domain:
		return failure(header, &question, dnsmessage.RCodeSuccess), answered
	case !within && (name == "" || strings.Contains(name, ".")):
		return nil, foreign
	}
	address, known := z.hosts[host]
	if !known {
		return failure(header, &question, dnsmessage.RCodeNameError), answered
	}
	if question.Type != dnsmessage.TypeA && question.Type != dnsmessage.TypeALL {
		return failure(header, &question, dnsmessage.RCodeSuccess), answered
	}
	return build(header, &question, dnsmessage.RCodeSuccess,
		func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) error {
			return b.AResource(h, dnsmessage.AResource{A: address.As4()})
		}), answered
}

// pointer answers with the name of a guest's address.
func (z zone) pointer(header dnsmessage.Header, question dnsmessage.Question, address netip.Addr) []byte {
	for host, other := range z.hosts {
		name, err := dnsmessage.NewName(host + "." + z.domain + ".")
		if other != address || err != nil {
			continue
		}
		return build(header, &question, dnsmessage.RCodeSuccess,
			func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) error {
				return b.PTRResource(h, dnsmessage.PTRResource{PTR: name})
			})
	}
	return failure(header, &question, dnsmessage.RCodeNameError)
}

// reverse reads an IPv4 address out of a name for one (RFC 1035, section 3.5).
func reverse(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, ".in-addr.arpa")
	parts := strings.Split(digits, ".")
	if !ok || len(parts) != 4 {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	return address, err == nil
}

// failure answers without a resource.
func failure(header dnsmessage.Header, question *dnsmessage.Question, code dnsmessage.RCode) []byte {
	return build(header, question, code, nil)
}

// build makes an answer, nil where the name cannot be written.
func build(
	header dnsmessage.Header, question *dnsmessage.Question, code dnsmessage.RCode,
	add func(*dnsmessage.Builder, dnsmessage.ResourceHeader) error,
) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: question != nil,
		RecursionDesired: header.RecursionDesired, RecursionAvailable: true, RCode: code,
	})
	b.EnableCompression()
	if question != nil {
		if b.StartQuestions() != nil || b.Question(*question) != nil {
			return nil
		}
	}
	if add != nil {
		h := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
		if b.StartAnswers() != nil || add(&b, h) != nil {
			return nil
		}
	}
	message, err := b.Finish()
	if err != nil {
		return nil
	}
	return message
}

// refusal is the answer when no resolver has one.
func refusal(query []byte) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	return failure(header, &question, dnsmessage.RCodeServerFailure)
}

// answers says whether a message answers a query: the same question, and the number that it was given.
func answers(message, query []byte, id uint16) bool {
	var p, q dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || !header.Response || header.ID != id {
		return false
	}
	if _, err := q.Start(query); err != nil {
		return false
	}
	got, err := p.Question()
	asked, err2 := q.Question()
	return err == nil && err2 == nil && got.Type == asked.Type && got.Class == asked.Class &&
		strings.EqualFold(got.Name.String(), asked.Name.String())
}
