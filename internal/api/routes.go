package api

import (
	"net/http"
)

// Access is what a client may do.
type Access int

// What clients may do. Each may do what the ones before it may, too.
const (
	Read    Access = iota + 1 // look
	Control                   // order, type on consoles, and see what guests say there
)

// route is a row of the table of routes.
type route struct {
	method, path string
	access       Access
	handle       func(*server, http.ResponseWriter, *http.Request) answer
}

// routes is all that there is. openapi.yaml and docs/api.md are held to it.
var routes = []route{
	{"GET", "/1.0", Read, (*server).getServer},
	{"GET", "/1.0/openapi.yaml", Read, (*server).getDescription},
	{"GET", "/1.0/host", Read, (*server).getHost},
	{"GET", "/1.0/host/state", Read, (*server).getHostState},
	{"GET", "/1.0/metrics", Read, (*server).getMetrics},
	{"GET", "/1.0/logs", Read, (*server).getLogs},
	{"GET", "/1.0/events", Read, (*server).getEvents},

	{"GET", "/1.0/guests", Read, (*server).getGuests},
	{"GET", "/1.0/guests/{name}", Read, (*server).getGuest},
	{"PATCH", "/1.0/guests/{name}", Control, (*server).patchGuest},
	{"POST", "/1.0/guests/{name}", Control, (*server).postGuest},
	{"GET", "/1.0/guests/{name}/state", Read, (*server).getGuestState},
	{"PUT", "/1.0/guests/{name}/state", Control, (*server).putGuestState},
	{"GET", "/1.0/guests/{name}/logs", Read, (*server).getGuestLogs},
	{"GET", "/1.0/guests/{name}/console", Control, (*server).getConsole},
	{"POST", "/1.0/guests/{name}/console", Control, (*server).postConsole},
	{"GET", "/1.0/guests/{name}/disks", Read, (*server).getDisks},
	{"POST", "/1.0/guests/{name}/disks", Control, (*server).postDisk},
	{"DELETE", "/1.0/guests/{name}/disks/{vdev}", Control, (*server).deleteDisk},
	{"GET", "/1.0/guests/{name}/nics", Read, (*server).getNICs},
	{"POST", "/1.0/guests/{name}/nics", Control, (*server).postNIC},
	{"DELETE", "/1.0/guests/{name}/nics/{mac}", Control, (*server).deleteNIC},
	{"POST", "/1.0/guests/{name}/save", Control, (*server).postSave},

	{"GET", "/1.0/operations", Read, (*server).getOperations},
	{"GET", "/1.0/operations/{id}", Read, (*server).getOperation},
	{"DELETE", "/1.0/operations/{id}", Control, (*server).deleteOperation},
	{"GET", "/1.0/operations/{id}/wait", Read, (*server).waitOperation},
	{"GET", "/1.0/operations/{id}/websocket", Control, (*server).openWebsocket},
}
