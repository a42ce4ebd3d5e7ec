package xenstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Message types, from enum xsd_sockmsg_type in xen/include/public/io/xs_wire.h. Only those this
// package sends or receives are named.
const (
	typeDirectory        = 1
	typeRead             = 2
	typeWatch            = 4
	typeUnwatch          = 5
	typeTransactionStart = 6
	typeTransactionEnd   = 7
	typeGetDomainPath    = 10
	typeWrite            = 11
	typeMkdir            = 12
	typeRm               = 13
	typeWatchEvent       = 15
	typeError            = 16
)

// Limits of xs_wire.h, in bytes. xenstored kills the connection of a client that exceeds
// PayloadMax, which takes the whole toolstack down with it, so every request is checked first.
const (
	PayloadMax = 4096 // XENSTORE_PAYLOAD_MAX
	PathMax    = 3072 // XENSTORE_ABS_PATH_MAX

	headerSize = 16 // struct xsd_sockmsg
	// devicePayloadMax is smaller: the kernel's xenbus device keeps header and payload together
	// in a buffer of XENSTORE_PAYLOAD_MAX bytes (drivers/xen/xenbus/xenbus_dev_frontend.c).
	devicePayloadMax = PayloadMax - headerSize
)

// ErrTooLong reports a path or payload beyond the protocol's limits.
var ErrTooLong = errors.New("too long for xenstore")

// message is one frame: struct xsd_sockmsg, whose length field is len(payload), and its payload.
type message struct {
	kind    uint32
	request uint32 // req_id: chosen by the client, echoed in the reply
	tx      uint32 // tx_id: 0 outside transactions
	payload []byte
}

// encode returns the frame's bytes in the byte order of x86, which is that of every Xen host
// this project supports.
func (m message) encode() []byte {
	frame := make([]byte, 0, headerSize+len(m.payload))
	for _, field := range []uint32{m.kind, m.request, m.tx, uint32(len(m.payload))} {
		frame = binary.LittleEndian.AppendUint32(frame, field)
	}
	return append(frame, m.payload...)
}

// readMessage reads one frame. It returns io.EOF only between frames; a frame cut short is
// io.ErrUnexpectedEOF and one that claims more than PayloadMax is ErrTooLong.
func readMessage(r io.Reader) (message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return message{}, err
	}
	m := message{
		kind:    binary.LittleEndian.Uint32(header[0:]),
		request: binary.LittleEndian.Uint32(header[4:]),
		tx:      binary.LittleEndian.Uint32(header[8:]),
	}
	length := binary.LittleEndian.Uint32(header[12:])
	if length > PayloadMax {
		return message{}, fmt.Errorf("message of type %d claims %d bytes, limit %d: %w",
			m.kind, length, PayloadMax, ErrTooLong)
	}
	m.payload = make([]byte, length)
	if _, err := io.ReadFull(r, m.payload); err != nil {
		return message{}, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return m, nil
}

// joinStrings is the payload form <string>|<string>|: every part with a NUL behind it.
func joinStrings(parts ...string) []byte {
	var payload []byte
	for _, part := range parts {
		payload = append(payload, part...)
		payload = append(payload, 0)
	}
	return payload
}

// splitStrings undoes joinStrings. A last part without its NUL counts as a part.
func splitStrings(payload []byte) []string {
	payload = bytes.TrimSuffix(payload, []byte{0})
	if len(payload) == 0 {
		return nil
	}
	var parts []string
	for _, part := range bytes.Split(payload, []byte{0}) {
		parts = append(parts, string(part))
	}
	return parts
}
