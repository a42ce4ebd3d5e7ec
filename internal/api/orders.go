package api

import (
	"context"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// ordered reads a request to order something of a guest: its body, where there is one, into body, and which guest.
func (s *server) ordered(r *http.Request, body any) (name string, err error) {
	g, err := s.guest(r)
	if err == nil && body != nil {
		err = decode(r, body)
	}
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

func (s *server) putGuestState(_ http.ResponseWriter, r *http.Request) answer {
	var put StatePut
	name, err := s.ordered(r, &put)
	if err != nil {
		return failed(err)
	}
	action, known := actions[put.Action]
	if !known {
		return badRequest("field \"action\": there is no action %q; there are %s",
			put.Action, strings.Join(slices.Sorted(maps.Keys(actions)), ", "))
	}
	if t := put.Timeout; t != nil && (*t < 1 || *t > maxTimeout) {
		return badRequest("field \"timeout\": want 1 to %d seconds, not %d", maxTimeout, *t)
	}
	return s.order(action.does, name, func(ctx context.Context, _ func(func(*OperationMetadata))) error {
		return action.order(ctx, s.Orders, name, put)
	})
}

// order begins the operation of doing something to a guest.
func (s *server) order(does, name string, run task) answer {
	return begun(s.operations.start(does+" "+name, []string{name}, run))
}

func (s *server) patchGuest(_ http.ResponseWriter, r *http.Request) answer {
	var patch GuestPatch
	name, err := s.ordered(r, &patch)
	if err != nil {
		return failed(err)
	}
	const mib = 1 << 20
	switch {
	case patch.Memory == nil && patch.VCPUs == nil:
		return badRequest("nothing is to be changed; give memory or vcpus")
	case patch.Memory != nil && *patch.Memory < mib:
		return badRequest("field \"memory\": want bytes, at least %d", mib)
	case patch.VCPUs != nil && *patch.VCPUs < 1:
		return badRequest("field \"vcpus\": want at least 1")
	}
	return s.order("changing", name, func(ctx context.Context, _ func(func(*OperationMetadata))) error {
		if patch.Memory != nil {
			if err := s.Orders.SetMemory(ctx, name, *patch.Memory>>10); err != nil {
				return err
			}
		}
		if patch.VCPUs != nil {
			return s.Orders.SetVCPUs(ctx, name, *patch.VCPUs)
		}
		return nil
	})
}

func (s *server) postGuest(_ http.ResponseWriter, r *http.Request) answer {
	var post GuestPost
	name, err := s.ordered(r, &post)
	if err != nil {
		return failed(err)
	}
	if post.Name == "" {
		return badRequest("field \"name\": give the guest's other name")
	}
	return s.order("renaming", name, func(ctx context.Context, _ func(func(*OperationMetadata))) error {
		return s.Orders.Rename(ctx, name, post.Name)
	})
}

func (s *server) postDisk(_ http.ResponseWriter, r *http.Request) answer {
	return s.attach(r, "attaching a disk to", func(ctx context.Context, name, spec string) (OperationMetadata, error) {
		vdev, err := s.Orders.AttachDisk(ctx, name, spec)
		return OperationMetadata{Vdev: vdev}, err
	})
}

func (s *server) postNIC(_ http.ResponseWriter, r *http.Request) answer {
	return s.attach(r, "attaching a NIC to", func(ctx context.Context, name, spec string) (OperationMetadata, error) {
		mac, err := s.Orders.AttachNIC(ctx, name, spec)
		return OperationMetadata{MAC: mac}, err
	})
}

// attach begins to attach a device. plug returns what it is called.
func (s *server) attach(
	r *http.Request, does string, plug func(ctx context.Context, name, spec string) (OperationMetadata, error),
) answer {
	var post DevicePost
	name, err := s.ordered(r, &post)
	if err != nil {
		return failed(err)
	}
	if post.Spec == "" {
		return badRequest("field \"spec\": describe the device as in xl.cfg(5)")
	}
	return s.order(does, name, func(ctx context.Context, tell func(func(*OperationMetadata))) error {
		said, err := plug(ctx, name, post.Spec)
		if err != nil {
			return err
		}
		tell(func(m *OperationMetadata) { m.Vdev, m.MAC = said.Vdev, said.MAC })
		return nil
	})
}

func (s *server) deleteDisk(_ http.ResponseWriter, r *http.Request) answer {
	return s.detach(r, "detaching a disk from", "vdev", s.Orders.DetachDisk)
}

func (s *server) deleteNIC(_ http.ResponseWriter, r *http.Request) answer {
	return s.detach(r, "detaching a NIC from", "mac", s.Orders.DetachNIC)
}

// detach begins to detach the device that the path names.
func (s *server) detach(r *http.Request, does, key string,
	unplug func(ctx context.Context, name, device string) error) answer {
	name, err := s.ordered(r, nil)
	if err != nil {
		return failed(err)
	}
	device := r.PathValue(key)
	return s.order(does, name, func(ctx context.Context, _ func(func(*OperationMetadata))) error {
		return unplug(ctx, name, device)
	})
}

func (s *server) postSave(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	var post SavePost
	if err := decode(r, &post); err != nil {
		return failed(err)
	}
	switch {
	case (post.Disk == "") != (post.File == ""):
		return badRequest("give disk and file, or neither to save all of the guest")
	case post.File != "" && !filepath.IsAbs(post.File):
		return badRequest("field \"file\": want an absolute path, not %q", post.File)
	}
	if post.Disk != "" && g.Phase.Live() { // of others Save says that they do not run
		if _, err := g.Disk(post.Disk); err != nil {
			return &fault{http.StatusNotFound, err.Error()}
		}
	}
	return s.order("saving", g.Name, func(ctx context.Context, tell func(func(*OperationMetadata))) error {
		return s.Save(ctx, g.Name, post,
			func(p Progress) { tell(func(m *OperationMetadata) { m.Progress = &p }) },
			func(note string) { tell(func(m *OperationMetadata) { m.Notes = append(m.Notes, note) }) })
	})
}

func (s *server) getOperations(http.ResponseWriter, *http.Request) answer {
	return result{s.operations.list()}
}

func (s *server) getOperation(_ http.ResponseWriter, r *http.Request) answer {
	op, _, err := s.operations.get(r.PathValue("id"))
	if err != nil {
		return failed(err)
	}
	return result{op}
}

func (s *server) deleteOperation(_ http.ResponseWriter, r *http.Request) answer {
	if err := s.operations.cancel(r.PathValue("id")); err != nil {
		return failed(err)
	}
	return result{struct{}{}}
}
