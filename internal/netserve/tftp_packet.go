package netserve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// TFTP opcodes (RFC 1350, section 5; OACK: RFC 2347).
const (
	opRead  = 1
	opWrite = 2
	opData  = 3
	opAck   = 4
	opError = 5
	opOACK  = 6
)

// TFTP error codes (RFC 1350, appendix; the last one: RFC 2347).
const (
	codeUndefined = 0
	codeNotFound  = 1
	codeAccess    = 2
	codeIllegal   = 4
	codeOptions   = 8
)

// packet is what a TFTP client sends: readRequest, writeRequest, ack or failure.
type packet any

// readRequest asks for a file.
type readRequest struct {
	name    string
	mode    string // lower case
	options []option
}

// option is a pair of RFC 2347.
type option struct{ name, value string } // name in lower case

type writeRequest struct{}

// ack confirms all blocks up to this one.
type ack uint16

// failure is a client's way to end a transfer.
type failure struct {
	code    uint16
	message string
}

func (f failure) Error() string {
	if f.message == "" {
		return fmt.Sprintf("client ended it, code %d", f.code)
	}
	return "client ended it: " + printable.Line(f.message)
}

var errMalformed = errors.New("malformed TFTP packet")

// parsePacket reads what clients send.
func parsePacket(data []byte) (packet, error) {
	if len(data) < 4 {
		return nil, errMalformed
	}
	body := data[2:]
	switch binary.BigEndian.Uint16(data) {
	case opRead:
		return parseReadRequest(body)
	case opWrite:
		return writeRequest{}, nil
	case opAck:
		return ack(binary.BigEndian.Uint16(body)), nil
	case opError:
		message, _, _ := bytes.Cut(body[2:], []byte{0})
		return failure{binary.BigEndian.Uint16(body), string(message)}, nil
	}
	return nil, errMalformed
}

// parseReadRequest reads strings that each end with a NUL: name, mode, and pairs of options. A
// pair that is cut short is left out, as is what comes after an empty name: firmware pads.
func parseReadRequest(body []byte) (packet, error) {
	end := bytes.LastIndexByte(body, 0)
	if end < 0 {
		return nil, errMalformed
	}
	texts := strings.Split(string(body[:end]), "\x00")
	if len(texts) < 2 || texts[0] == "" {
		return nil, errMalformed
	}
	request := readRequest{name: texts[0], mode: strings.ToLower(texts[1])}
	for pairs := texts[2:]; len(pairs) >= 2 && pairs[0] != ""; pairs = pairs[2:] {
		request.options = append(request.options, option{strings.ToLower(pairs[0]), pairs[1]})
	}
	return request, nil
}

// terms are what a transfer goes by.
type terms struct {
	blockSize  int
	windowSize int // blocks
	timeout    int // seconds; 0: the server's own
}

// Bounds of options: RFC 2348, RFC 2349 and RFC 7440, section 3. The upper bounds of the window and of the timeout are
// this server's: with RFC 2349's 255 seconds, a client that is silent would be waited for half an hour.
const (
	minBlock, defaultBlock, maxBlock = 8, 512, 65464
	maxWindow                        = 64
	maxTimeout                       = 8
)

// headers are what IP, UDP and TFTP put in front of a block, in bytes.
const headers = 20 + 8 + 4

// negotiate makes terms of the options that a client asks for, and the options to acknowledge; none
// for those that are unknown or make no sense (RFC 2347). Blocks are kept small enough for one
// frame: much firmware cannot put fragments together.
func negotiate(asked []option, size int64, mtu int) (terms, []option) {
	agreed := terms{blockSize: defaultBlock, windowSize: 1}
	var acknowledged []option
	seen := map[string]bool{}
	for _, o := range asked {
		number, err := strconv.Atoi(o.value)
		if err != nil || number < 0 || seen[o.name] {
			continue
		}
		value := int64(number)
		switch {
		case o.name == "tsize":
			value = size
		case o.name == "blksize" && number >= minBlock:
			agreed.blockSize = min(number, maxBlock, max(mtu-headers, defaultBlock))
			value = int64(agreed.blockSize)
		case o.name == "windowsize" && number >= 1:
			agreed.windowSize = min(number, maxWindow)
			value = int64(agreed.windowSize)
		case o.name == "timeout" && number >= 1 && number <= maxTimeout:
			agreed.timeout = number
		default:
			continue
		}
		seen[o.name] = true
		acknowledged = append(acknowledged, option{o.name, strconv.FormatInt(value, 10)})
	}
	return agreed, acknowledged
}

// oackPacket acknowledges options.
func oackPacket(options []option) []byte {
	data := binary.BigEndian.AppendUint16(nil, opOACK)
	for _, o := range options {
		data = append(data, o.name+"\x00"+o.value+"\x00"...)
	}
	return data
}

// errorPacket ends a transfer.
func errorPacket(code uint16, message string) []byte {
	data := binary.BigEndian.AppendUint16(nil, opError)
	data = binary.BigEndian.AppendUint16(data, code)
	return append(data, message+"\x00"...)
}
