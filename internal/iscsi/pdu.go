package iscsi

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The basic header segment of every PDU has this size (RFC 7143 section 11.2).
const headerSize = 48

// Opcodes. Requests of the login are immediate: they do not count as commands.
const (
	opLogin         = 0x43
	opLoginResponse = 0x23
	opAsync         = 0x32
	opcodeMask      = 0x3f
)

// Stages of a login (RFC 7143 section 11.12.3).
type loginStage byte

const (
	security    loginStage = 0
	operational loginStage = 1
	fullFeature loginStage = 3
)

const (
	flagTransit  = 0x80
	flagContinue = 0x40
)

// loginRequest is a Login Request (RFC 7143 section 11.12). The kernel fills in the task's tag and the number of the
// command.
type loginRequest struct {
	current, next loginStage
	transit       bool
	isid          [6]byte
	expStatSN     uint32
	data          []byte
}

func (r loginRequest) encode() []byte {
	pdu := make([]byte, headerSize, headerSize+len(r.data))
	pdu[0] = opLogin
	pdu[1] = byte(r.current) << 2
	if r.transit {
		pdu[1] |= flagTransit | byte(r.next)
	}
	putLength(pdu, len(r.data))
	copy(pdu[8:14], r.isid[:])
	binary.BigEndian.PutUint32(pdu[28:], r.expStatSN)
	return append(pdu, r.data...)
}

func putLength(pdu []byte, n int) { pdu[5], pdu[6], pdu[7] = byte(n>>16), byte(n>>8), byte(n) }

// dataLength is how much data follows a header.
func dataLength(header []byte) int { return int(header[5])<<16 | int(header[6])<<8 | int(header[7]) }

// loginResponse is a Login Response (RFC 7143 section 11.13).
type loginResponse struct {
	current, next loginStage
	transit, more bool // more: the answer goes on in the next PDU
	statSN        uint32
	class, detail byte
	data          []byte
}

// maxLoginData is how much data a PDU of the login has at most (RFC 7143 section 13.12).
const maxLoginData = 8192

var errShort = errors.New("the target's answer ends too early")

func parseLoginResponse(pdu []byte) (r loginResponse, err error) {
	if len(pdu) < headerSize {
		return r, errShort
	}
	if opcode := pdu[0] & opcodeMask; opcode != opLoginResponse {
		return r, fmt.Errorf("the target answers the login with a PDU of another kind, 0x%02x", opcode)
	}
	n := dataLength(pdu)
	if n > maxLoginData {
		return r, fmt.Errorf("the target's answer has over %d bytes", maxLoginData)
	}
	start := headerSize + 4*int(pdu[4]) // additional headers
	if len(pdu) < start+n {
		return r, errShort
	}
	return loginResponse{
		current: loginStage(pdu[1] >> 2 & 3), next: loginStage(pdu[1] & 3),
		transit: pdu[1]&flagTransit != 0, more: pdu[1]&flagContinue != 0,
		statSN: binary.BigEndian.Uint32(pdu[24:]), class: pdu[36], detail: pdu[37], data: pdu[start : start+n],
	}, nil
}

// asyncEvent is the kind of an Asynchronous Message (RFC 7143 section 11.9.1).
func asyncEvent(pdu []byte) (kind byte, ok bool) {
	if len(pdu) < headerSize || pdu[0]&opcodeMask != opAsync {
		return 0, false
	}
	return pdu[36], true
}
