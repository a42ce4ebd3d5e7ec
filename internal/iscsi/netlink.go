package iscsi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The kernel's interface is NETLINK_ISCSI, with structures of include/scsi/iscsi_if.h: each message is a struct
// iscsi_uevent, and what follows it.

// uevents, requests and what the kernel says by itself.
const (
	createSession = 11
	createConn    = 13
	bindConn      = 15
	setParam      = 16
	startConn     = 17
	stopConn      = 18
	sendPDU       = 19

	recvPDU   = 101
	connError = 102
	ifError   = 103
)

// A struct iscsi_uevent: type, error and transport, a request's arguments, the answer.
const (
	argsAt    = 16
	answerAt  = 40
	eventSize = 56
)

// stopRecover tells STOP_CONN that the session goes on with another connection.
const stopRecover = 3

// request is a struct iscsi_uevent to send, with what follows it.
type request struct {
	kind uint32
	args []any // uint32, uint16 or uint64, packed
	data []byte
}

// encode makes the netlink message.
func (r request) encode(transport uint64) []byte {
	message := make([]byte, unix.NLMSG_HDRLEN+eventSize, unix.NLMSG_HDRLEN+eventSize+len(r.data))
	message = append(message, r.data...)
	order := binary.NativeEndian
	order.PutUint32(message, uint32(len(message)))
	order.PutUint16(message[4:], uint16(r.kind))
	order.PutUint16(message[6:], unix.NLM_F_REQUEST)
	event := message[unix.NLMSG_HDRLEN:]
	order.PutUint32(event, r.kind)
	order.PutUint64(event[8:], transport)
	at := argsAt
	for _, arg := range r.args {
		switch arg := arg.(type) {
		case uint16:
			order.PutUint16(event[at:], arg)
			at += 2
		case uint32:
			order.PutUint32(event[at:], arg)
			at += 4
		case uint64:
			order.PutUint64(event[at:], arg)
			at += 8
		}
	}
	return message
}

// event is a struct iscsi_uevent that was received.
type event struct {
	kind      uint32
	transport uint64
	err       error  // of the interface: the kernel did not take a request
	first     uint32 // of the answer
	second    uint32
	third     uint32
	data      []byte
}

var errEvent = errors.New("the kernel's message is too short")

// parseEvent reads a netlink message and returns what follows it.
func parseEvent(message []byte) (e event, rest []byte, err error) {
	if len(message) < unix.NLMSG_HDRLEN+eventSize {
		return e, nil, errEvent
	}
	order := binary.NativeEndian
	size := int(order.Uint32(message))
	if size < unix.NLMSG_HDRLEN+eventSize || size > len(message) {
		return e, nil, errEvent
	}
	body := message[unix.NLMSG_HDRLEN:size]
	e = event{
		kind: order.Uint32(body), transport: order.Uint64(body[8:]),
		first: order.Uint32(body[answerAt:]), second: order.Uint32(body[answerAt+4:]),
		third: order.Uint32(body[answerAt+8:]), data: body[eventSize:],
	}
	if code := int32(order.Uint32(body[4:])); e.kind == ifError {
		e.err = fmt.Errorf("the kernel's initiator: %w", unix.Errno(-code))
	}
	next := (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
	return e, message[min(next, len(message)):], nil
}

// connErrors are reasons for which the kernel gives a connection up (enum iscsi_err).
var connErrors = map[uint32]string{
	1008: "the target breaks the protocol",
	1011: "the connection has broken",
	1013: "the session has broken",
	1014: "a header came with a wrong checksum",
	1015: "data came with a wrong checksum",
	1018: "the connection takes no data",
	1020: "the target has closed the connection",
	1021: "the kernel has reset the session: the target did not do what it was asked",
	1022: "the target does not answer",
}

func connFailure(code uint32) error {
	if text, ok := connErrors[code]; ok {
		return errors.New(text)
	}
	return fmt.Errorf("the kernel has given the connection up: error %d", code)
}
