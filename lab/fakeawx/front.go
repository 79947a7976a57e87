package fakeawx

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// call is one request to the API, authenticated, with the lock held.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	by    *user
	write bool // its credentials may change something
	named bool // its address was rewritten: what is forbidden is not found
}

const (
	notGiven  = "Authentication credentials were not provided. To establish a login session, visit /api/login/."
	wrongPass = "Invalid username/password. To establish a login session, visit /api/login/."
	forbidden = "You do not have permission to perform this action."
)

// serveAPI is what stands before every view: the root, the migration, the
// slash, who asks.
func (f *Fake) serveAPI(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance()
	w.Header().Set("X-API-Time", "0.012s")
	if f.switches.Migrating {
		w.Header().Set("Location", "/migrations_notran/")
		w.WriteHeader(http.StatusFound)
		return
	}
	if f.root(w, r) {
		return
	}
	rest, ours := strings.CutPrefix(r.URL.Path, f.opts.Prefix)
	if !ours {
		notFound(w)
		return
	}
	path, slashed := strings.CutSuffix(rest, "/")
	parts := strings.Split(path, "/")
	rewritten := f.rewrite(parts) || !slashed && named(parts[0])
	if !slashed && !rewritten {
		w.Header().Set("Location", r.URL.Path+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	if path == "ping" {
		f.ping(w)
		return
	}
	c := &call{w: w, r: r, query: r.URL.Query(), named: rewritten}
	if strings.HasSuffix(path, "/github") && r.Method == http.MethodPost {
		f.webhook(c, parts)
		return
	}
	if !f.authenticate(c) {
		return
	}
	w.Header().Set("X-API-Product-Version", "24.6.1")
	w.Header().Set("X-API-Product-Name", "AWX")
	w.Header().Set("X-API-Node", "awx-1")
	f.route(c, parts)
}

// root answers what is asked to find out where the API lies.
func (f *Fake) root(w http.ResponseWriter, r *http.Request) bool {
	base := strings.TrimSuffix(f.opts.Prefix, "v2/")
	switch r.URL.Path {
	case base:
		answer(w, http.StatusOK, object{
			"description": "AWX REST API", "current_version": f.opts.Prefix,
			"available_versions": object{"v2": f.opts.Prefix}, "oauth2": "/api/o/", "custom_logo": "", "custom_login_info": "", "login_redirect_override": "",
		})
	case "/api/":
		answer(w, http.StatusOK, object{"apis": object{"gateway": "/api/gateway/", "controller": base, "eda": "/api/eda/"}})
	default:
		return false
	}
	return true
}

// named reports whether the things below a path can be addressed by name.
func named(resource string) bool {
	return slices.Contains([]string{"job_templates", "workflow_job_templates", "inventories", "organizations", "projects", "users", "teams"}, resource)
}

// rewrite puts the id where the address has a name: name++organization. A bare
// name is the oldest template's.
func (f *Fake) rewrite(parts []string) bool {
	if len(parts) < 2 || !strings.HasSuffix(parts[0], "job_templates") {
		return false
	}
	if _, id := number(parts[1]); id {
		return false
	}
	name, org, hasOrg := strings.Cut(parts[1], "++")
	for _, t := range f.templates {
		if t.kind()+"s" == parts[0] && t.Name == strings.ReplaceAll(name, "[+]", "+") && (!hasOrg || t.Organization == org) {
			parts[1] = fmt.Sprint(t.id)
			return true
		}
	}
	return true
}

func (f *Fake) authenticate(c *call) bool {
	refuse := func(says string) bool {
		c.w.Header().Set("WWW-Authenticate", "Bearer realm=api authorization_url=/api/o/authorize/")
		detail(c.w, http.StatusUnauthorized, says)
		return false
	}
	if name, password, basic := c.r.BasicAuth(); basic {
		i := slices.IndexFunc(f.users, func(u *user) bool { return u.Name == name && u.Password == password && password != "" })
		if i < 0 {
			return refuse(wrongPass)
		}
		c.by, c.write = f.users[i], true
		return true
	}
	token, bearer := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	i := slices.IndexFunc(f.users, func(u *user) bool { return u.Token == token && token != "" })
	if !bearer || i < 0 {
		return refuse(notGiven)
	}
	c.by, c.write = f.users[i], !f.users[i].ReadOnly
	return true
}

// route finds the view. parts are of the path below the prefix.
func (f *Fake) route(c *call, parts []string) {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodPost {
		c.notAllowed("GET, POST, HEAD, OPTIONS")
		return
	}
	if c.r.Method == http.MethodPost && !c.posted() {
		return
	}
	if len(parts) == 1 {
		f.routeList(c, parts[0])
		return
	}
	id, ok := number(parts[1])
	if !ok || len(parts) > 3 {
		f.missing(c, parts[0])
		return
	}
	view := ""
	if len(parts) == 3 {
		view = parts[2]
	}
	switch parts[0] {
	case "job_templates", "workflow_job_templates":
		f.routeTemplate(c, parts[0], id, view)
	case "jobs", "workflow_jobs":
		f.routeJob(c, parts[0], id, view)
	case "inventories":
		f.routeInventory(c, id, view)
	default:
		notFound(c.w)
	}
}

func (f *Fake) routeList(c *call, name string) {
	if c.r.Method != http.MethodGet {
		c.notAllowed("GET, HEAD, OPTIONS")
		return
	}
	switch name {
	case "me":
		f.list(c, "User", []object{userForm(c.by)})
	case "job_templates", "workflow_job_templates", "unified_job_templates":
		f.listTemplates(c, name)
	case "jobs", "workflow_jobs":
		f.listJobs(c, name == "workflow_jobs", func(*job) bool { return true })
	case "inventories":
		f.list(c, "Inventory", f.inventoryForms(c.by))
	case "hosts":
		f.list(c, "Host", f.hostForms(c.by, nil))
	case "labels":
		f.list(c, "Label", f.labelForms())
	default:
		notFound(c.w)
	}
}

// posted checks what every POST must have.
func (c *call) posted() bool {
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if c.r.ContentLength != 0 && kind != "application/json" {
		detail(c.w, http.StatusUnsupportedMediaType, "You did not use correct Content-Type in your HTTP request. If you are using our REST API, the Content-Type must be application/json")
		return false
	}
	if !c.write {
		c.forbid()
		return false
	}
	return true
}

// forbid answers that the thing is there, but not for this user.
func (c *call) forbid() {
	if c.named {
		notFound(c.w)
		return
	}
	detail(c.w, http.StatusForbidden, forbidden)
}

func (c *call) notAllowed(allow string) {
	c.w.Header().Set("Allow", allow)
	detail(c.w, http.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed.", c.r.Method))
}

// only answers a request of another method.
func (c *call) only(method string) bool {
	if c.r.Method != method {
		c.notAllowed(method + ", HEAD, OPTIONS")
		return false
	}
	return true
}

func notFound(w http.ResponseWriter) { detail(w, http.StatusNotFound, "Not found.") }

// missing is the 404 of an id that is not there.
func (f *Fake) missing(c *call, resource string) {
	if f.switches.NewMessages {
		detail(c.w, http.StatusNotFound, "No "+resource+" matches the given query.")
		return
	}
	notFound(c.w)
}

func (f *Fake) ping(w http.ResponseWriter) {
	answer(w, http.StatusOK, object{
		"ha": false, "version": "24.6.1", "active_node": "awx-1", "install_uuid": "00000000-0000-0000-0000-000000000000",
		"instances": []object{{"node": "awx-1", "node_type": "hybrid", "capacity": 100}}, "instance_groups": []object{},
	})
}
