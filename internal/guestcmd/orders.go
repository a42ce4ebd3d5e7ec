package guestcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/client"
	"github.com/zerodisc/zerodisc/internal/progress"
)

// orders are what can be ordered of several guests: what it has made of them, and of which it is possible.
var orders = map[string]struct {
	done     string
	statuses []string
}{
	"start":   {"started", []string{"stopped", "failed", "refused"}},
	"stop":    {"stopped", []string{"running", "paused", "waiting", "creating", "restarting"}},
	"restart": {"restarted", []string{"running"}},
	"pause":   {"paused", []string{"running"}},
	"resume":  {"resumed", []string{"paused"}},
	"destroy": {"destroyed", []string{"running", "paused", "suspended", "stopping", "restarting", "crashed"}},
}

// orderAll returns the command for an action.
func orderAll(action string) func(*call, context.Context, []string) error {
	return func(k *call, ctx context.Context, names []string) error {
		names, err := k.guests(ctx, action, names)
		if err != nil {
			return err
		}
		put := api.StatePut{Action: action, Force: k.force}
		patient := k.timeout
		if action == "stop" || action == "restart" {
			if k.timeout.given {
				whole := int(k.timeout.Seconds())
				put.Timeout = &whole
			}
			patient = seconds{} // the guest has the time, and the order ends by itself
		}
		return k.carryOut(ctx, names, patient, orders[action].done, func(name string) (api.Operation, error) {
			return k.Client.Order(ctx, http.MethodPut, client.GuestPath(name, "/state"), put)
		})
	}
}

// guests returns the names of the guests that are meant.
func (k *call) guests(ctx context.Context, action string, names []string) ([]string, error) {
	switch {
	case k.all && len(names) > 0:
		return nil, usagef("name guests, or give -all")
	case !k.all && len(names) == 0:
		return nil, usagef("usage: guest %s %s; or -all", k.command.name, k.command.args)
	case !k.all:
		return names, nil
	}
	all, err := k.Client.Guests(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, g := range all {
		if possible(action, g) {
			names = append(names, g.Name)
		}
	}
	return names, nil
}

// possible says whether an order can be given to a guest. One that xl was given by hand can be started by xl only.
func possible(action string, g api.Guest) bool {
	return slices.Contains(orders[action].statuses, g.Status) && (action != "start" || g.Config != "")
}

// carryOut begins an operation for each name, all at once, and waits for them. The error is the first.
func (k *call) carryOut(ctx context.Context, names []string, limit seconds, done string,
	begin func(name string) (api.Operation, error)) error {
	ops, errs := make([]api.Operation, len(names)), make([]error, len(names))
	for i, name := range names {
		ops[i], errs[i] = begin(name)
	}
	if limit.given {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit.Duration)
		defer cancel()
	}
	var first error
	for i, name := range names {
		if errs[i] == nil {
			ops[i], errs[i] = k.await(ctx, ops[i])
		}
		if errs[i] != nil {
			fmt.Fprintf(k.Err, "guest: %s: %v\n", name, errs[i])
			first = errors.Join(first, errs[i])
		} else if !k.json {
			k.say(name, done, ops[i].Metadata)
		}
	}
	if k.json {
		if err := k.print(slices.DeleteFunc(ops, func(op api.Operation) bool { return op.ID == "" })); err != nil {
			return err
		}
	}
	if first == nil {
		return nil
	}
	return &toldError{first}
}

// say says what was done.
func (k *call) say(name, done string, m api.OperationMetadata) {
	for _, note := range m.Notes {
		fmt.Fprintln(k.Out, note)
	}
	if len(m.Notes) == 0 {
		fmt.Fprintf(k.Out, "%s: %s%s%s\n", name, done, m.Vdev, m.MAC)
	}
}

// Times of waiting.
const (
	look       = 1               // seconds between two looks at an operation that says how far it is
	afterwards = 5 * time.Second // to call an operation off
)

// await waits until an operation has ended, and calls it off when ctx ends first.
func (k *call) await(ctx context.Context, op api.Operation) (api.Operation, error) {
	shown := progress.New(k.Err)
	defer shown.Done()
	for !op.Ended() {
		now, err := k.Client.Wait(ctx, op.ID, look)
		if ctx.Err() != nil {
			return op, k.callOff(ctx, op)
		}
		if err != nil {
			return op, err
		}
		op = now
		if p := op.Metadata.Progress; p != nil && !k.json {
			shown.Bytes(p.Step, p.Done, p.Total)
		}
	}
	return op, opError(op)
}

func (k *call) callOff(ctx context.Context, op api.Operation) error {
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	err := errors.New("interrupted")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %v and was called off: %w", k.timeout.Duration, ctx.Err())
	}
	return errors.Join(err, k.Client.Cancel(again, op.ID))
}

// print prints JSON.
func (k *call) print(v any) error {
	e := json.NewEncoder(k.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (k *call) set(ctx context.Context, args []string) error {
	if err := k.want(args, 1); err != nil {
		return err
	}
	var patch api.GuestPatch
	if k.memory != "" {
		bytes, err := bytesize.Parse(k.memory)
		if err != nil {
			return usagef("-memory %q: %w", k.memory, err)
		}
		patch.Memory = &bytes
	}
	if k.vcpus != 0 {
		patch.VCPUs = &k.vcpus
	}
	if patch == (api.GuestPatch{}) {
		return usagef("give -memory or -vcpus; guest help set")
	}
	return k.carryOut(ctx, args, k.timeout, "changed", func(name string) (api.Operation, error) {
		return k.Client.Order(ctx, http.MethodPatch, client.GuestPath(name, ""), patch)
	})
}

func (k *call) rename(ctx context.Context, args []string) error {
	if err := k.want(args, 2); err != nil {
		return err
	}
	return k.carryOut(ctx, args[:1], k.timeout, "is called "+args[1], func(name string) (api.Operation, error) {
		return k.Client.Order(ctx, http.MethodPost, client.GuestPath(name, ""), api.GuestPost{Name: args[1]})
	})
}

// devices are the kinds of devices that can be attached, and where the API has them.
var devices = map[string]string{"disk": "/disks", "nic": "/nics"}

// device reads the arguments of attach and detach.
func (k *call) device(args []string) (path string, err error) {
	if err := k.want(args, 3); err != nil {
		return "", err
	}
	path, known := devices[args[1]]
	if !known {
		return "", usagef("%q is no kind of device; want disk or nic", args[1])
	}
	return path, nil
}

func (k *call) attach(ctx context.Context, args []string) error {
	path, err := k.device(args)
	if err != nil {
		return err
	}
	return k.carryOut(ctx, args[:1], k.timeout, "attached ", func(name string) (api.Operation, error) {
		return k.Client.Order(ctx, http.MethodPost, client.GuestPath(name, path), api.DevicePost{Spec: args[2]})
	})
}

func (k *call) detach(ctx context.Context, args []string) error {
	path, err := k.device(args)
	if err != nil {
		return err
	}
	path += "/" + url.PathEscape(args[2])
	return k.carryOut(ctx, args[:1], k.timeout, "detached "+args[2], func(name string) (api.Operation, error) {
		return k.Client.Order(ctx, http.MethodDelete, client.GuestPath(name, path), nil)
	})
}

func (k *call) save(ctx context.Context, args []string) error {
	post := api.SavePost{Replace: k.replace}
	if len(args) != 3 {
		if err := k.want(args, 1); err != nil {
			return err
		}
	} else {
		file, err := filepath.Abs(args[2])
		if err != nil {
			return err
		}
		post.Disk, post.File = args[1], file
	}
	return k.carryOut(ctx, args[:1], k.timeout, "saved", func(name string) (api.Operation, error) {
		return k.Client.Order(ctx, http.MethodPost, client.GuestPath(name, "/save"), post)
	})
}
