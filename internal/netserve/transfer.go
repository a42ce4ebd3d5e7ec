package netserve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Waiting for an acknowledgement: at first so long, then each time twice as long, up to the longest, and
// giving up after so many times in a row, 31 seconds together. A client that never answered is given up earlier,
// after 7 seconds: there may be nobody at the address that the request came from, and it can ask again.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 8 * time.Second
	maxTries    = 7
	firstTries  = 4
)

// errGone is the end of a transfer that the client did not end itself.
var errGone = errors.New("the client gave up, or cannot be reached")

// transfer sends one file. Blocks are counted without end here; their 16-bit numbers on the wire
// start again at 0 after 65535.
type transfer struct {
	conn   net.Conn
	file   io.ReaderAt
	size   int64 // bytes
	terms  terms
	blocks int64  // of the whole file; the last one is shorter than the others, maybe empty
	acked  int64  // blocks that the client has
	closed bool   // the client's port was found closed since it last answered
	heard  bool   // the client has answered
	buffer []byte // a DATA packet
}

func newTransfer(conn net.Conn, file io.ReaderAt, size int64, agreed terms) *transfer {
	return &transfer{
		conn:   conn,
		file:   file,
		size:   size,
		terms:  agreed,
		blocks: size/int64(agreed.blockSize) + 1,
		buffer: make([]byte, 4+agreed.blockSize),
	}
}

// sent returns how many bytes the client has confirmed.
func (t *transfer) sent() int64 { return min(t.acked*int64(t.terms.blockSize), t.size) }

// run sends the options, if any were agreed on, and then the file.
func (t *transfer) run(options []option) error {
	if len(options) > 0 {
		if err := t.sendOptions(oackPacket(options)); err != nil {
			return err
		}
	}
	for t.acked < t.blocks {
		if err := t.sendWindow(); err != nil {
			return err
		}
	}
	return nil
}

// sendOptions sends an OACK until block 0 is acknowledged.
func (t *transfer) sendOptions(oack []byte) error {
	return t.retry(func() error {
		return t.write(oack)
	}, func(n ack) (bool, bool) { return n == 0, false })
}

// sendWindow sends the next blocks until the client acknowledges at least one of them. One that
// misses a block acknowledges those before it, and is sent the rest again at once (RFC 7440,
// section 4); but only once, since it may do so for each block that follows the missing one. With
// windows of one block that would double every block from then on, so there it is left to time.
func (t *transfer) sendWindow() error {
	base := t.acked
	end := min(base+int64(t.terms.windowSize), t.blocks)
	repeated := t.terms.windowSize == 1
	return t.retry(func() error {
		return t.send(base, end)
	}, func(n ack) (bool, bool) {
		ahead := int64(uint16(n) - uint16(base))
		if ahead > 0 && ahead <= end-base {
			t.acked = base + ahead
			return true, false
		}
		again := ahead == 0 && !repeated
		repeated = repeated || again
		return false, again
	})
}

// send sends the blocks after base, up to end.
func (t *transfer) send(base, end int64) error {
	for block := base + 1; block <= end; block++ {
		packet, err := t.data(block)
		if err != nil {
			t.conn.Write(errorPacket(codeUndefined, "cannot read the file"))
			return err
		}
		if err := t.write(packet); err != nil {
			return err
		}
	}
	return nil
}

// write sends a packet. That the client's port is closed is no error yet: what it said last, maybe
// that it has everything, may still wait to be read.
func (t *transfer) write(packet []byte) error {
	_, err := t.conn.Write(packet)
	if errors.Is(err, syscall.ECONNREFUSED) {
		t.closed = true
		return nil
	}
	return err
}

// data makes the DATA packet of a block; the first block is 1.
func (t *transfer) data(block int64) ([]byte, error) {
	offset := (block - 1) * int64(t.terms.blockSize)
	length := min(int64(t.terms.blockSize), t.size-offset)
	packet := t.buffer[:4+length]
	binary.BigEndian.PutUint16(packet, opData)
	binary.BigEndian.PutUint16(packet[2:], uint16(block))
	if n, err := t.file.ReadAt(packet[4:], offset); int64(n) < length {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return packet, nil
}

// retry sends until an acknowledgement counts as an answer, waiting longer each time. judge says
// whether it is one, and if not whether to send again at once.
func (t *transfer) retry(send func() error, judge func(ack) (done, again bool)) error {
	wait, longest, tries := firstWait, longestWait, maxTries
	if t.terms.timeout > 0 {
		wait = time.Duration(t.terms.timeout) * time.Second
		longest = wait
	}
	if !t.heard {
		tries = firstTries
	}
	for range tries {
		if err := send(); err != nil {
			return err
		}
		done, err := t.await(time.Now().Add(wait), send, judge)
		if done || err != nil {
			return err
		}
		if t.closed {
			return errGone
		}
		wait = min(2*wait, longest)
	}
	return errGone
}

// await reads until judge is content or the time is over; it returns false then.
func (t *transfer) await(deadline time.Time, send func() error, judge func(ack) (done, again bool)) (bool, error) {
	t.conn.SetReadDeadline(deadline)
	buffer := make([]byte, 512)
	for {
		n, err := t.conn.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case errors.Is(err, syscall.ECONNREFUSED):
			t.closed = true
			continue
		case err != nil:
			return false, err
		}
		t.closed, t.heard = false, true
		parsed, err := parsePacket(buffer[:n])
		if err != nil {
			continue
		}
		switch p := parsed.(type) {
		case failure:
			return false, p
		case ack:
			done, again := judge(p)
			if done {
				return true, nil
			}
			if again {
				if err := send(); err != nil {
					return false, err
				}
			}
		}
	}
}
