package console

// cleaner turns a terminal's byte stream into plain lines. Control sequences (ECMA-48) are
// dropped; those that move the cursor to another place end the line, so that a GRUB menu, which
// is painted and not printed, comes out as lines too. A line without text is empty.
type cleaner struct {
	state escape
	line  []byte
	text  bool // there was text since the last line feed
}

// escape says where in a control sequence the stream is.
type escape int

const (
	plain   escape = iota
	started        // after ESC
	control        // inside CSI, "ESC [ parameters final"
	command        // inside OSC, "ESC ] text BEL"
	charset        // after "ESC (" and its like: one more byte
)

// maxLine bounds a line that never ends, in bytes.
const maxLine = 16 << 10

// feed consumes one byte and says whether it ended a line; the line is then in c.line until the
// next call of reset. Of the lines without text only those that a line feed ends are lines.
func (c *cleaner) feed(b byte) (ended bool) {
	switch c.state {
	case started:
		c.state = afterEscape(b)
		return false
	case control:
		if b < 0x40 || b > 0x7e {
			return false
		}
		c.state = plain
		return movesAway(b) && len(c.line) > 0
	case command:
		if b == '\a' || b == '\n' {
			c.state = plain
		} else if b == 0x1b { // the string terminator, ESC \
			c.state = started
		}
		return false
	case charset:
		c.state = plain
		return false
	}
	return c.print(b)
}

// afterEscape returns the state after ESC and b.
func afterEscape(b byte) escape {
	switch b {
	case '[':
		return control
	case ']':
		return command
	case '(', ')', '#', '%':
		return charset
	}
	return plain
}

// movesAway says whether the CSI sequence with this final byte leaves the line: up, down, next
// line, previous line, position, erase display, vertical position.
func movesAway(final byte) bool {
	switch final {
	case 'A', 'B', 'E', 'F', 'H', 'J', 'd', 'f':
		return true
	}
	return false
}

// print handles a byte outside control sequences.
func (c *cleaner) print(b byte) (ended bool) {
	switch {
	case b == 0x1b:
		c.state = started
	case b == '\r':
		return len(c.line) > 0
	case b == '\n':
		ended = len(c.line) > 0 || !c.text
		c.text = false
		return ended
	case b == '\b' && len(c.line) > 0:
		c.line = c.line[:len(c.line)-1]
	case b == '\t' || b >= 0x20 && b != 0x7f:
		c.line, c.text = append(c.line, b), true
	}
	return len(c.line) >= maxLine
}

func (c *cleaner) reset() { c.line = c.line[:0] }
