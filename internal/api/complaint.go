package api

import (
	"log/slog"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
)

// complaintPause is the shortest time between two lines about clients.
const complaintPause = time.Minute

// complaints says in the log what is wrong with clients, now and then: one may come back a thousand times a second.
type complaints struct {
	log  *slog.Logger
	mu   sync.Mutex // guards last
	last time.Time
}

// say says what is wrong with a client, unless there was a line a moment ago.
func (c *complaints) say(problem, remedy string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.last.IsZero() || now.Sub(c.last) >= complaintPause {
		c.last = now
		c.log.Warn(boot.MsgAPI, "err", problem, "remedy", remedy)
	}
}
