// What one call through a circuit breaker of hystrix-go's shape costs: the yardstick for
// benches/breaker.rs.
//
// It has that library's shape per call, written anew from a description of its behaviour: the work
// runs in a goroutine of its own and another one waits for it or for a timer; a ticket is taken from
// and given back to a channel; every outcome travels over a buffered channel to a collector goroutine,
// which starts one more goroutine to count it in per-second buckets kept in maps; and each call first
// sums up those buckets to decide whether it may run. The real module is not fetched, because the
// benches run without a network, and with the Go of the distribution and its standard library alone.
//
// Prints one line of JSON: go run benches/peers/breaker.go
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	timeout       = time.Second
	maxConcurrent = 100
	errorPercent  = 50
	requestVolume = 20
	windowSeconds = 10
)

// rolling counts events in one-second buckets.
type rolling struct {
	mutex   sync.RWMutex
	buckets map[int64]*float64
}

func newRolling() *rolling { return &rolling{buckets: map[int64]*float64{}} }

func (r *rolling) increment() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := time.Now().Unix()
	bucket, found := r.buckets[now]
	if !found {
		bucket = new(float64)
		r.buckets[now] = bucket
	}
	*bucket++
	for second := range r.buckets {
		if second <= now-windowSeconds {
			delete(r.buckets, second)
		}
	}
}

func (r *rolling) sum(now time.Time) float64 {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	total := 0.0
	for second, count := range r.buckets {
		if second > now.Unix()-windowSeconds {
			total += *count
		}
	}
	return total
}

// timings keeps the durations of each second.
type timings struct {
	mutex   sync.RWMutex
	buckets map[int64][]time.Duration
}

func (t *timings) add(duration time.Duration) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	now := time.Now().Unix()
	t.buckets[now] = append(t.buckets[now], duration)
	for second := range t.buckets {
		if second <= now-60 {
			delete(t.buckets, second)
		}
	}
}

// outcome is what travels to the collector after each call.
type outcome struct {
	events   []string
	started  time.Time
	run      time.Duration
	inFlight float64
}

type collector struct {
	outcomes                                 chan *outcome
	lost                                     uint64 // outcomes that found the channel full
	mutex                                    sync.RWMutex
	requests, errors, successes, timeoutsHit *rolling
	total, run                               *timings
}

func newCollector() *collector {
	c := &collector{
		outcomes: make(chan *outcome, 2000),
		requests: newRolling(), errors: newRolling(), successes: newRolling(), timeoutsHit: newRolling(),
		total: &timings{buckets: map[int64][]time.Duration{}}, run: &timings{buckets: map[int64][]time.Duration{}},
	}
	go c.collect()
	return c
}

func (c *collector) collect() {
	for o := range c.outcomes {
		c.mutex.RLock()
		var counted sync.WaitGroup
		counted.Add(1)
		go c.count(&counted, o, time.Since(o.started))
		counted.Wait()
		c.mutex.RUnlock()
	}
}

func (c *collector) count(counted *sync.WaitGroup, o *outcome, total time.Duration) {
	defer counted.Done()
	c.requests.increment()
	switch o.events[0] {
	case "success":
		c.successes.increment()
	case "timeout":
		c.errors.increment()
		c.timeoutsHit.increment()
	default:
		c.errors.increment()
	}
	c.total.add(total)
	c.run.add(o.run)
}

func (c *collector) healthy(now time.Time) bool {
	c.mutex.RLock()
	defer c.mutex.RUnlock()
	requests := c.requests.sum(now)
	if requests < requestVolume {
		return true
	}
	return c.errors.sum(now)/requests*100 < errorPercent
}

type breaker struct {
	mutex   sync.RWMutex
	open    bool
	tickets chan *struct{}
	metrics *collector
}

func newBreaker() *breaker {
	b := &breaker{tickets: make(chan *struct{}, maxConcurrent), metrics: newCollector()}
	for i := 0; i < maxConcurrent; i++ {
		b.tickets <- &struct{}{}
	}
	return b
}

func (b *breaker) allows() bool {
	b.mutex.RLock()
	open := b.open
	b.mutex.RUnlock()
	if !open && !b.metrics.healthy(time.Now()) {
		b.mutex.Lock()
		b.open, open = true, true
		b.mutex.Unlock()
	}
	return !open
}

var (
	errOpen    = errors.New("circuit open")
	errFull    = errors.New("max concurrency")
	errTimeout = errors.New("timeout")
)

// command is one call in flight.
type command struct {
	sync.Mutex
	ticket   *struct{}
	events   []string
	started  time.Time
	run      time.Duration
	finished chan bool
	failed   chan error
}

func (c *command) event(name string) {
	c.Lock()
	c.events = append(c.events, name)
	c.Unlock()
}

// start runs the work in one goroutine and waits for it, or for the timer, in another.
func (b *breaker) start(work func() error) *command {
	c := &command{started: time.Now(), finished: make(chan bool, 1), failed: make(chan error, 1)}
	checked := sync.NewCond(c)
	ticketChecked := false
	giveBack := func() {
		c.Lock()
		for !ticketChecked {
			checked.Wait()
		}
		if c.ticket != nil {
			b.tickets <- c.ticket
		}
		c.Unlock()
	}
	tell := func() {
		c.Lock()
		o := &outcome{events: c.events, started: c.started, run: c.run, inFlight: float64(maxConcurrent - len(b.tickets))}
		c.Unlock()
		select {
		case b.metrics.outcomes <- o:
		default:
			atomic.AddUint64(&b.metrics.lost, 1)
		}
	}
	var once sync.Once
	fail := func(name string, err error) {
		c.event(name)
		c.failed <- err
	}
	checkTicket := func() {
		c.Lock()
		ticketChecked = true
		checked.Signal()
		c.Unlock()
	}

	go func() {
		defer func() { c.finished <- true }()
		if !b.allows() {
			checkTicket()
			once.Do(func() { giveBack(); fail("short-circuit", errOpen); tell() })
			return
		}
		c.Lock()
		select {
		case c.ticket = <-b.tickets:
			ticketChecked = true
			checked.Signal()
			c.Unlock()
		default:
			ticketChecked = true
			checked.Signal()
			c.Unlock()
			once.Do(func() { giveBack(); fail("rejected", errFull); tell() })
			return
		}
		began := time.Now()
		err := work()
		once.Do(func() {
			defer tell()
			c.run = time.Since(began)
			giveBack()
			if err != nil {
				fail("failure", err)
				return
			}
			c.event("success")
		})
	}()

	go func() {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-c.finished:
		case <-timer.C:
			once.Do(func() { giveBack(); fail("timeout", errTimeout); tell() })
		}
	}()
	return c
}

// call starts the work and waits for its end.
func (b *breaker) call(work func() error) error {
	done := make(chan struct{}, 1)
	c := b.start(func() error {
		if err := work(); err != nil {
			return err
		}
		done <- struct{}{}
		return nil
	})
	select {
	case <-done:
		return nil
	case err := <-c.failed:
		return err
	}
}

func main() {
	b := newBreaker()
	result := testing.Benchmark(func(bench *testing.B) {
		bench.ReportAllocs()
		for i := 0; i < bench.N; i++ {
			if err := b.call(func() error { return nil }); err != nil {
				fmt.Fprintln(os.Stderr, "a call failed:", err)
				os.Exit(1)
			}
		}
	})
	fmt.Printf("{\"bench\":\"breaker/call\",\"peer\":\"hystrix-go's shape\",\"go\":%q,\"calls\":%d,\"ns_per_op\":%d,\"allocs_per_op\":%d,\"outcomes_lost\":%d}\n",
		runtime.Version(), result.N, result.NsPerOp(), result.AllocsPerOp(), atomic.LoadUint64(&b.metrics.lost))
}
