package sshd

import (
	"reflect"
	"sync"
	"time"
)

// news tells events, of each kind no more than the console can bear.
type news struct {
	tell func(Event)

	mu      sync.Mutex // guards what follows
	buckets map[Kind]*bucket
	left    map[Kind]int // out, since the last that was told
	last    Event        // that state has told
}

// Events of one kind: so many at once, and then one in this time.
const (
	newsBurst = 10
	newsPause = 20 * time.Second
)

func newNews(tell func(Event)) *news {
	return &news{tell: tell, buckets: map[Kind]*bucket{}, left: map[Kind]int{}}
}

// maybe tells an event, or counts it as left out.
func (n *news) maybe(e Event, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.buckets[e.Kind]
	if b == nil {
		b = &bucket{room: newsBurst, pause: newsPause}
		n.buckets[e.Kind] = b
	}
	if !b.take(now) {
		n.left[e.Kind]++
		return
	}
	e.Others = n.left[e.Kind]
	n.left[e.Kind] = 0
	n.tell(e)
}

// state tells how the server is, where that has changed.
func (n *news) state(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !reflect.DeepEqual(e, n.last) {
		n.last = e
		n.tell(e)
	}
}

// isMilestone says of a number that grows whether it is worth telling: 1, 3, 10, 30, 100, ...
func isMilestone(count int) bool {
	for count >= 10 && count%10 == 0 {
		count /= 10
	}
	return count == 1 || count == 3
}
