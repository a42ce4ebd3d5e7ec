package iscsi

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Errors of a login that somebody can do something about.
var (
	errNotTarget = errors.New("the target does not know its own password (USER_IN:PASSWORD_IN)")
	errNoChap    = errors.New("the target does not ask for a password, and so cannot show its own")
)

// statusError is the status of a login that failed (RFC 7143 section 11.13.5).
type statusError struct{ class, detail byte }

// statuses are what the statuses mean, and what to do.
var statuses = map[statusError]struct{ text, remedy string }{
	{2, 0}:  {"initiator error", "see the target's log"},
	{2, 1}:  {"it does not accept the name and the password", "check USER and PASSWORD"},
	{2, 2}:  {"this initiator may not use the target", "allow the initiator's name there, or set zerodisc.initiator"},
	{2, 3}:  {"there is no such target", "check the target's name"},
	{2, 4}:  {"the target was removed", "check the target's name"},
	{2, 5}:  {"it wants another version of iSCSI", "see the target's log"},
	{2, 6}:  {"too many connections", "end another session there"},
	{2, 7}:  {"a parameter is missing", "see the target's log"},
	{2, 8}:  {"the session cannot have this connection", "see the target's log"},
	{2, 9}:  {"it has no sessions of this kind", "see the target's log"},
	{2, 10}: {"there is no such session", "see the target's log"},
	{2, 11}: {"it does not take this request", "see the target's log"},
	{3, 0}:  {"target error", "see the target's log"},
	{3, 1}:  {"the target's service is not available", "it is tried again"},
	{3, 2}:  {"the target has no room", "it is tried again"},
}

func (e statusError) Error() string {
	if known, ok := statuses[e]; ok {
		return "the target refuses the login: " + known.text
	}
	return fmt.Sprintf("the target refuses the login: status %d.%d", e.class, e.detail)
}

// redirected says that the target is elsewhere (status class 1).
type redirected struct{ address string } // HOST:PORT

func (r redirected) Error() string { return "the target is at " + r.address }

// exchange sends a PDU and returns the answer.
type exchange func(pdu []byte) ([]byte, error)

// login is a login under way.
type login struct {
	target    Target
	initiator string
	isid      [6]byte
	exchange  exchange

	stage     loginStage
	expStatSN uint32
}

// maxRounds is how many PDUs a login may take.
const maxRounds = 32

// run logs in and returns what was agreed on.
func (l *login) run() (parameters, error) {
	if err := l.authenticate(); err != nil {
		return parameters{}, err
	}
	return l.negotiate()
}

// identify are the keys of the first request.
func (l *login) identify() []pair {
	return []pair{
		{"InitiatorName", l.initiator}, {"TargetName", l.target.Name}, {"SessionType", "Normal"},
	}
}

// authenticate gets through the security stage.
func (l *login) authenticate() error {
	method := "None"
	switch {
	case l.target.In.isSet():
		method = "CHAP"
	case l.target.Out.isSet():
		method = "CHAP,None" // a target that asks for nothing learns nothing
	}
	said, err := l.round(append(l.identify(), pair{"AuthMethod", method}), method == "None", operational)
	if err != nil {
		return err
	}
	answer := said["AuthMethod"]
	switch {
	case answer == "CHAP" && l.target.Out.isSet():
		return l.chap()
	case answer == "CHAP":
		return errors.New("the target wants a name and a password")
	case answer != "None" && answer != "" || method == "CHAP":
		return errNoChap
	case l.stage == security:
		_, err = l.pass(operational)
	}
	return err
}

// chap shows our secret, and checks the target's.
func (l *login) chap() error {
	c := &chap{out: l.target.Out, in: l.target.In}
	said, err := l.round([]pair{{"CHAP_A", algorithmNumbers()}}, false, security)
	if err != nil {
		return err
	}
	pairs, err := c.answer(said)
	if err != nil {
		return err
	}
	if said, err = l.round(pairs, true, operational); err != nil {
		return err
	}
	if c.in.isSet() {
		if err := c.check(said); err != nil {
			return err
		}
	}
	if l.stage == security {
		_, err = l.pass(operational)
	}
	return err
}

// pass asks for the next stage until the target agrees.
func (l *login) pass(next loginStage) (said keys, err error) {
	for range maxRounds {
		if said, err = l.round(nil, true, next); err != nil || l.stage == next {
			return said, err
		}
	}
	return nil, errors.New("the target does not end the login")
}

// negotiate gets through the operational stage.
func (l *login) negotiate() (parameters, error) {
	agreed := defaults
	pairs := offers
	for range maxRounds {
		said, err := l.round(pairs, true, fullFeature)
		if err != nil {
			return parameters{}, err
		}
		if pairs, err = agreed.take(said); err != nil {
			return parameters{}, err
		}
		if l.stage == fullFeature {
			return agreed, agreed.check()
		}
	}
	return parameters{}, errors.New("the target does not end the login")
}

// round sends keys and returns those of the answer, which may come in several PDUs.
func (l *login) round(pairs []pair, transit bool, next loginStage) (keys, error) {
	request := loginRequest{
		current: l.stage, next: next, transit: transit, isid: l.isid, expStatSN: l.expStatSN, data: formatText(pairs),
	}
	if len(request.data) > maxLoginData {
		return nil, errors.New("names and passwords are too long for a login")
	}
	var text []byte
	for range maxRounds {
		answer, err := l.send(request)
		if err != nil {
			return nil, err
		}
		text = append(text, answer.data...)
		if !answer.more {
			return l.arrive(answer, request, text)
		}
		if len(text) > maxText || answer.transit {
			break
		}
		request.data, request.transit, request.expStatSN = nil, false, l.expStatSN
	}
	return nil, errors.New("the target's answer does not end")
}

// send sends one PDU.
func (l *login) send(request loginRequest) (loginResponse, error) {
	pdu, err := l.exchange(request.encode())
	if err != nil {
		return loginResponse{}, err
	}
	answer, err := parseLoginResponse(pdu)
	if err != nil {
		return loginResponse{}, err
	}
	if answer.class == 0 {
		l.expStatSN = answer.statSN + 1
		return answer, nil
	}
	if answer.class == 1 {
		return loginResponse{}, redirection(answer.data)
	}
	return loginResponse{}, statusError{answer.class, answer.detail}
}

// arrive takes in the end of an answer.
func (l *login) arrive(answer loginResponse, request loginRequest, text []byte) (keys, error) {
	switch {
	case answer.current != request.current:
		return nil, fmt.Errorf("the target is in stage %d of the login, not in %d", answer.current, request.current)
	case answer.transit && (!request.transit || answer.next != request.next):
		return nil, fmt.Errorf("the target goes on to stage %d of the login, unasked", answer.next)
	}
	if answer.transit {
		l.stage = answer.next
	}
	return parseText(text)
}

// redirection reads where the target is: TargetAddress is HOST[:PORT][,GROUP] (RFC 7143 section 13.8).
func redirection(data []byte) error {
	said, err := parseText(data)
	if err != nil {
		return err
	}
	address, _, _ := strings.Cut(said["TargetAddress"], ",")
	if address == "" || len(address) > maxName || strings.ContainsFunc(address, isOdd) {
		return errors.New("the target sends this machine to another address, but does not say which")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), strconv.Itoa(DefaultPort)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return errors.New("the target sends this machine to another address, but does not say which")
	}
	return redirected{net.JoinHostPort(host, port)}
}

func isOdd(r rune) bool { return r <= ' ' || r > '~' }
