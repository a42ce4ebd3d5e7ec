package vifrules

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/nftables"
)

// Whatever part of the rules somebody takes away is put back, and said once.
func TestGuard(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		tables := must(openTables())(t)
		defer tables.close()
		ctx, stop := context.WithCancel(t.Context())
		repairs, ended := make(chan Repair, 100), make(chan struct{})
		go func() {
			defer close(ended)
			_ = b.rules.Guard(ctx, func(r Repair) { repairs <- r })
		}()
		defer func() { stop(); <-ended }()
		spoofed := arp(mac(mac2), mac(mac2), "10.9.0.5")
		chain := &nftables.Chain{Table: tables.bridge, Name: chainOf(mapFrom, "vif1.0")}
		for i, damage := range []struct {
			name string
			do   func()
		}{
			{"everything", tables.conn.FlushRuleset},
			{"dom0's own", func() { tables.conn.DelTable(tables.host) }},
			{"a chain", func() { tables.conn.FlushChain(chain) }},
			{"a map", func() {
				tables.conn.FlushSet(&nftables.Set{Table: tables.bridge, Name: mapFrom})
			}},
		} {
			damage.do()
			check(t, tables.commit("nothing"))
			select {
			case repair := <-repairs:
				known := i == 0 || repair.By != "" // the first may be from before the guard
				if repair.Err != nil || repair.Damage == "" || !known {
					t.Errorf("%s: %+v", damage.name, repair)
				}
			case <-time.After(deadline):
				t.Fatalf("%s: nobody has noticed", damage.name)
			}
			b.drops(damage.name, "vif1.0", "nic0", uuid1, spoofed, SpoofedMAC)
		}
		// Changes by the rules' own hand are no damage.
		b.set(uuid1, Guest{Isolated: true})
		check(t, b.rules.Unplug("vif2.0"))
		if damage, err := damageOf(b.rules); damage != "" || err != nil || len(repairs) > 0 {
			t.Errorf("%q, %v, %d repairs", damage, err, len(repairs))
		}
	})
}

func TestRepairsAreSaidOnceAMinute(t *testing.T) {
	said := 0
	l := repairLog{report: func(Repair) { said++ }}
	start := time.Now()
	for i, step := range []struct {
		repair Repair
		after  time.Duration
		want   int
	}{
		{Repair{}, 0, 0},
		{Repair{Damage: "a", By: "nft"}, 0, 1},
		{Repair{}, time.Second, 1},
		{Repair{Damage: "a", By: "nft"}, 2 * time.Second, 1},
		{Repair{Damage: "b", By: "nft"}, 3 * time.Second, 2},
		{Repair{Damage: "b", By: "nft", Err: errors.New("x")}, 4 * time.Second, 3},
		{Repair{Damage: "b", By: "nft", Err: errors.New("x")}, 5 * time.Second, 3},
		{Repair{Damage: "b", By: "nft", Err: errors.New("x")}, 65 * time.Second, 4},
	} {
		if l.note(step.repair, start.Add(step.after)); said != step.want {
			t.Errorf("step %d: %d said, want %d", i, said, step.want)
		}
	}
}

// What somebody else has taken away is noticed though the rules were changed by their own hand since.
func TestDamageBeforeAChange(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		f := must(b.rules.read())(t)
		if now := must(generation())(t); f.generation != now {
			t.Errorf("generation %d, noted was %d", now, f.generation)
		}
		tables := must(openTables())(t)
		defer tables.close()
		tables.conn.FlushChain(&nftables.Chain{Table: tables.bridge, Name: chainOf(mapFrom, "vif1.0")})
		check(t, tables.commit("nothing"))
		b.set(uuid2, Guest{Isolated: true})
		if r := b.rules.repair(); r.Err != nil || r.Damage == "" {
			t.Errorf("not noticed: %+v", r)
		}
		if r := b.rules.repair(); r != (Repair{}) {
			t.Errorf("again: %+v", r)
		}
	})
}

func damageOf(r Rules) (damage string, err error) {
	err = r.locked(func(f *files, t *tables) (err error) {
		damage, err = t.damage(f)
		return err
	})
	return damage, err
}

// A change that the kernel did not take is made with the next one, or by the guard.
func TestStaleRules(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		check(t, b.rules.locked(func(f *files, _ *tables) error { // as if it had been killed here
			f.config.Guests = map[string]Guest{uuid1: {Isolated: true}}
			return f.save()
		}))
		hello := arp(mac(mac1), mac(mac1), "10.9.0.5")
		if !b.arrives("vif1.0", "vif2.0", hello) {
			t.Fatal("isolated already")
		}
		check(t, b.rules.SetGuest(uuid1, Guest{Isolated: true})) // it is configured so already
		if b.arrives("vif1.0", "vif2.0", hello) {
			t.Error("not isolated")
		}
		check(t, b.rules.locked(func(f *files, _ *tables) error {
			f.config.Guests = nil
			return f.save()
		}))
		if r := b.rules.repair(); r.Err != nil || r.Damage == "" || !b.arrives("vif1.0", "vif2.0", hello) {
			t.Errorf("still isolated: %+v", r)
		}
	})
}

// One guest's rules that the kernel refuses are no reason to refuse another guest.
func TestOneGuestsTrouble(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		check(t, b.rules.locked(func(f *files, _ *tables) error {
			f.vifs[0].Bridge = "gone" // its VLAN cannot be set
			f.config.Guests = map[string]Guest{uuid1: {VLAN: 5}}
			return f.save()
		}))
		b.port("vif9.0")
		check(t, b.rules.Plug(Vif{Name: "vif9.0", Bridge: bridgeName, MAC: "00:16:3e:00:00:09", UUID: "other"}))
		if f, err := b.rules.read(); err != nil || !f.stale {
			t.Errorf("forgotten: %v", err)
		}
	})
}
