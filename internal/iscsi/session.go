package iscsi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Kernel is the initiator in dom0's kernel.
type Kernel interface {
	// Open makes a session with one connection.
	Open() (Session, error)
	// Adopt returns the session with a target's disk that a program has left behind, nil where there is none.
	Adopt(Target) Session
}

// Session is a session of the kernel's. Its methods are called by one goroutine, but for Scan.
type Session interface {
	// Bind gives the session a connection that the login is about to begin on. Afterwards the caller may close it: the
	// kernel keeps it.
	Bind(conn *net.TCPConn) error
	// Send sends a PDU of the login, header and data.
	Send(pdu []byte) error
	Set(p Param, value string) error
	// Start begins full operation: requests that wait are sent.
	Start() error
	// Stop lets go of the connection. Requests wait for the next one.
	Stop() error
	// Received gets the PDUs that are not for the kernel itself.
	Received() <-chan []byte
	// Failed gets what breaks the connection.
	Failed() <-chan error
	// Scan looks for a LUN and returns its disk, "/dev/sdb".
	Scan(ctx context.Context, lun uint64) (disk string, err error)
}

// Param is a parameter of a session's (enum iscsi_param of include/scsi/iscsi_if.h).
type Param uint32

// Parameters, by the kernel's numbers.
const (
	paramMaxRecv     Param = 0
	paramMaxSend     Param = 1
	paramHeaderCRC   Param = 2
	paramDataCRC     Param = 3
	paramInitialR2T  Param = 4
	paramMaxR2T      Param = 5
	paramImmediate   Param = 6
	paramFirstBurst  Param = 7
	paramMaxBurst    Param = 8
	paramPDUInOrder  Param = 9
	paramSeqInOrder  Param = 10
	paramERL         Param = 11
	paramExpStatSN   Param = 14
	paramTarget      Param = 15
	paramAddress     Param = 17
	paramPort        Param = 18
	paramRecoveryTmo Param = 19
	paramFastAbort   Param = 26
	paramAbortTmo    Param = 27
	paramResetTmo    Param = 28
	paramPingTmo     Param = 30
	paramIdleTmo     Param = 31
	paramInitiator   Param = 34
)

// Seconds, those of open-iscsi: an idle connection is asked whether it is alive, and broken if it does not answer. What
// waits for a connection fails after recoveryTmo.
const (
	idleTmo     = 5
	pingTmo     = 5
	recoveryTmo = 120
	abortTmo    = 15
	resetTmo    = 30
)

// Initiator keeps this machine logged in to a target. All fields but Timing must be set.
type Initiator struct {
	Target Target
	Name   string // this machine's iSCSI name
	ISID   [6]byte
	Kernel Kernel
	// Found is called with the target's disk before anybody is told of it.
	Found func(disk string) error
	// Uses lists the guests that use a disk. It must not wait for it.
	Uses   func(disk string) []string
	Tell   func(host.Remote)
	Timing Timing
}

// Timing holds the durations of this package. A zero field stands for its default; tests shorten them.
type Timing struct {
	FirstPause time.Duration // before the second try; it doubles with each try: 1 s
	MaxPause   time.Duration // between two tries: 10 s
	Grace      time.Duration // the network may still come up; failures are not reported: 10 s
	Answer     time.Duration // a target has to answer a PDU of the login, or accept a connection: 15 s
}

func (t Timing) orDefault() Timing {
	return Timing{
		FirstPause: cmp.Or(t.FirstPause, time.Second),
		MaxPause:   cmp.Or(t.MaxPause, 10*time.Second),
		Grace:      cmp.Or(t.Grace, 10*time.Second),
		Answer:     cmp.Or(t.Answer, 15*time.Second),
	}
}

// Run logs in, again whenever the connection breaks, until ctx ends. A session that was left behind gets another
// connection: what became of its own is not known.
func (i Initiator) Run(ctx context.Context) {
	i.Timing = i.Timing.orDefault()
	r := &run{Initiator: i, began: time.Now(), told: map[string]bool{}, scanned: make(chan scan, 1)}
	if r.session = i.Kernel.Adopt(i.Target); r.session != nil {
		r.wasUp = true
		_ = r.session.Stop() // as below
	}
	pause := i.Timing.FirstPause
	for ctx.Err() == nil {
		err := r.connect(ctx)
		if err == nil {
			pause = i.Timing.FirstPause
			r.isConnected(ctx)
			err = r.await(ctx)
		}
		if r.session != nil {
			_ = r.session.Stop() // what it says is that there was no connection
		}
		r.failed(ctx, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, i.Timing.MaxPause)
	}
}

// run is the state of one Run.
type run struct {
	Initiator
	session  Session // nil until there was a connection
	began    time.Time
	up       bool            // the connection works
	wasUp    bool            // it did once
	told     map[string]bool // failures of this outage that were reported
	disk     string
	scanning bool
	scanned  chan scan
}

// scan is what came of a look for the disk.
type scan struct {
	disk string
	err  error
}

// maxRedirections is how often a target may say that it is elsewhere.
const maxRedirections = 3

// connect makes a connection that works, at the target's address or where that sends us.
func (r *run) connect(ctx context.Context) error {
	address := r.Target.address()
	for range maxRedirections {
		err := r.connectTo(ctx, address)
		var elsewhere redirected
		if !errors.As(err, &elsewhere) {
			return err
		}
		address = elsewhere.address
		if err := r.session.Stop(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the target sent this machine to another address %d times in a row", maxRedirections)
}

// connectTo connects to one address, logs in there and starts the session.
func (r *run) connectTo(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: r.Timing.Answer}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return unreachable{plain(err)}
	}
	defer conn.Close()
	if r.session == nil {
		if r.session, err = r.Kernel.Open(); err != nil {
			return err
		}
	}
	r.drain()
	if err := r.session.Bind(conn.(*net.TCPConn)); err != nil {
		return err
	}
	l := &login{
		target: r.Target, initiator: r.Name, isid: r.ISID,
		exchange: func(pdu []byte) ([]byte, error) { return r.exchange(ctx, pdu) },
	}
	agreed, err := l.run()
	if err != nil {
		return err
	}
	if err := r.configure(agreed, l.expStatSN, conn.RemoteAddr()); err != nil {
		return err
	}
	return r.session.Start()
}

// unreachable is an error of a connection that could not be made.
type unreachable struct{ error }

// plain takes from an error of package net what only says that it is one.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Errorf("%s: %w", op.Addr, op.Err)
	}
	if op != nil {
		return op.Err
	}
	return err
}

// drain forgets what an earlier connection has left.
func (r *run) drain() {
	for {
		select {
		case <-r.session.Received():
		case <-r.session.Failed():
		default:
			return
		}
	}
}

// exchange sends a PDU and waits for the answer.
func (r *run) exchange(ctx context.Context, pdu []byte) ([]byte, error) {
	if err := r.session.Send(pdu); err != nil {
		return nil, err
	}
	select {
	case answer := <-r.session.Received():
		return answer, nil
	case err := <-r.session.Failed():
		return nil, err
	case <-time.After(r.Timing.Answer):
		return nil, errors.New("the target does not answer the login")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// configure tells the kernel what the login has agreed on.
func (r *run) configure(p parameters, expStatSN uint32, remote net.Addr) error {
	address, port, err := net.SplitHostPort(remote.String())
	if err != nil {
		return err
	}
	for _, setting := range []struct {
		param Param
		value string
	}{
		{paramTarget, r.Target.Name}, {paramInitiator, r.Name}, {paramAddress, address}, {paramPort, port},
		{paramMaxRecv, strconv.Itoa(maxReceive)}, {paramMaxSend, strconv.Itoa(p.maxSend)},
		{paramHeaderCRC, bit(p.headerDigest)}, {paramDataCRC, bit(p.dataDigest)},
		{paramInitialR2T, bit(p.initialR2T)}, {paramMaxR2T, strconv.Itoa(p.maxR2T)},
		{paramImmediate, bit(p.immediate)}, {paramFirstBurst, strconv.Itoa(p.firstBurst)},
		{paramMaxBurst, strconv.Itoa(p.maxBurst)}, {paramPDUInOrder, "1"}, {paramSeqInOrder, "1"}, {paramERL, "0"},
		{paramExpStatSN, strconv.FormatUint(uint64(expStatSN), 10)},
		{paramRecoveryTmo, strconv.Itoa(recoveryTmo)}, {paramFastAbort, "1"}, {paramAbortTmo, strconv.Itoa(abortTmo)},
		{paramResetTmo, strconv.Itoa(resetTmo)}, {paramPingTmo, strconv.Itoa(pingTmo)},
		{paramIdleTmo, strconv.Itoa(idleTmo)},
	} {
		if err := r.session.Set(setting.param, setting.value); err != nil {
			return fmt.Errorf("set parameter %d: %w", setting.param, err)
		}
	}
	return nil
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// isConnected takes in that the session works.
func (r *run) isConnected(ctx context.Context) {
	r.up, r.wasUp = true, true
	clear(r.told)
	if r.disk != "" {
		r.tell(host.RemoteConnected, "", "", nil)
		return
	}
	if !r.scanning {
		r.scanning = true
		guarded.Go(ctx, func() {
			disk, err := r.session.Scan(ctx, r.Target.LUN)
			if err == nil {
				err = r.Found(disk)
			}
			r.scanned <- scan{disk, err}
		})
	}
}

// await returns when the connection breaks.
func (r *run) await(ctx context.Context) error {
	for {
		select {
		case err := <-r.session.Failed():
			return err
		case pdu := <-r.session.Received():
			if kind, ok := asyncEvent(pdu); ok && kind >= logoutWanted && kind <= sessionDropped {
				return errors.New("the target ends the session")
			}
		case s := <-r.scanned:
			r.scanning = false
			r.disk = s.disk
			problem, remedy := "", ""
			if s.err != nil {
				problem, remedy = s.err.Error(), "check the LUN; see dmesg"
			}
			r.tell(host.RemoteConnected, problem, remedy, nil)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Asynchronous messages about the connection: it is to be ended, was dropped, or the session was.
const (
	logoutWanted   = 1
	sessionDropped = 3
)

// failed tells why there is no connection, each reason once. That a target which was lost cannot be reached is no news.
func (r *run) failed(ctx context.Context, err error) {
	was := r.up
	r.up = false
	said := err.Error()
	early := !r.wasUp && time.Since(r.began) < r.Timing.Grace
	_, away := err.(unreachable)
	if ctx.Err() != nil || early || r.told[said] || r.wasUp && !was && away || len(r.told) >= maxReasons {
		return
	}
	r.told[said] = true
	switch {
	case was:
		r.tell(host.RemoteLost, said, fmt.Sprintf(
			"what is read from it waits for %d s, then it fails; look at the target and the network", recoveryTmo),
			r.Uses(r.disk))
	case r.wasUp:
		r.tell(host.RemoteLost, said, remedyOf(err), r.Uses(r.disk))
	default:
		r.tell(host.RemoteWaiting, said, remedyOf(err), nil)
	}
}

// maxReasons is how many reasons are told in one outage.
const maxReasons = 8

func (r *run) tell(state host.RemoteState, problem, remedy string, guests []string) {
	r.Tell(host.Remote{
		URL: r.Target.String(), State: state, Device: r.disk, Guests: guests, Problem: problem, Remedy: remedy,
	})
}

// remedyOf is what to do about a failure.
func remedyOf(err error) string {
	var status statusError
	switch {
	case errors.As(err, &status) && statuses[status].remedy != "":
		return statuses[status].remedy
	case errors.Is(err, errNotTarget), errors.Is(err, errNoChap):
		return "check USER_IN and PASSWORD_IN here and at the target, or leave them out"
	}
	return "check the target and the network; it is tried again"
}
