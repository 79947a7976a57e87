package fakeawx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tocsin/tocsin/config"
)

// World is what an AWX has before anything is launched, as a YAML file says it.
type World struct {
	Users       []User      `yaml:"users"`
	Inventories []Inventory `yaml:"inventories"`
	Templates   []Template  `yaml:"templates"`
}

// User is an account. Execute on a template lets it read the template, launch
// it, read its jobs and cancel its own.
type User struct {
	Name      string   `yaml:"name"`
	Password  string   `yaml:"password"`
	Token     string   `yaml:"token"`
	ReadOnly  bool     `yaml:"read_only"` // its token has the scope read
	Superuser bool     `yaml:"superuser"`
	Execute   []string `yaml:"execute"` // names of templates
	Read      []string `yaml:"read"`    // likewise, without launching
	Inventory []string `yaml:"inventory"`
	Use       []string `yaml:"use"` // inventories it may choose at a launch
}

// Inventory is a list of hosts.
type Inventory struct {
	Name         string   `yaml:"name"`
	Organization string   `yaml:"organization"`
	Hosts        []Host   `yaml:"hosts"`
	Groups       []string `yaml:"groups"` // names; that of a host may be among them, as in life
}

// Host is a line of an inventory.
type Host struct {
	Name      string         `yaml:"name"`
	Disabled  bool           `yaml:"disabled"`
	Variables map[string]any `yaml:"variables"`
}

// Template is a job template, or a workflow job template if it has nodes.
type Template struct {
	Name         string          `yaml:"name" json:"name"`
	Organization string          `yaml:"organization" json:"organization,omitempty"`
	Inventory    string          `yaml:"inventory" json:"inventory,omitempty"`
	Playbook     string          `yaml:"playbook" json:"playbook,omitempty"`
	Hosts        string          `yaml:"hosts" json:"hosts,omitempty"` // that its play names; "" all
	Ask          []string        `yaml:"ask" json:"ask,omitempty"`     // what is prompted for: limit, variables, job_type, labels …
	Limit        string          `yaml:"limit" json:"limit,omitempty"`
	JobType      string          `yaml:"job_type" json:"job_type,omitempty"`
	ExtraVars    map[string]any  `yaml:"extra_vars" json:"extra_vars,omitempty"`
	Labels       []string        `yaml:"labels" json:"labels,omitempty"`
	Slices       int             `yaml:"slices" json:"slices,omitempty"`
	Timeout      int             `yaml:"timeout" json:"timeout,omitempty"` // seconds
	Survey       []Question      `yaml:"survey" json:"survey,omitempty"`
	Passwords    []string        `yaml:"passwords" json:"passwords,omitempty"`         // that its credential asks for
	Simultaneous bool            `yaml:"simultaneous" json:"simultaneous,omitempty"`   // several jobs at once
	NoRevision   bool            `yaml:"no_revision" json:"no_revision,omitempty"`     // its project's last update failed
	WebhookKey   string          `yaml:"webhook_key" json:"webhook_key,omitempty"`     // of GitHub's webhook
	Nodes        []string        `yaml:"nodes" json:"nodes,omitempty"`                 // job templates, one after the other
	Rejected     []int64         `yaml:"rejected" json:"rejected,omitempty"`           // nodes whose own prompts are refused
	Queue        config.Duration `yaml:"queue" json:"-"`                               // from pending to running
	Runs         config.Duration `yaml:"runs" json:"-"`                                // at least so long
	IsWorkflow   bool            `yaml:"workflow" json:"workflow,omitempty"`           // a workflow, even without nodes
	MissingNodes []int64         `yaml:"missing_nodes" json:"missing_nodes,omitempty"` // nodes whose template is gone
}

// Question is one of a survey.
type Question struct {
	Variable string   `yaml:"variable" json:"variable"`
	Type     string   `yaml:"type" json:"type"` // text, textarea, password, integer, float, multiplechoice, multiselect
	Required bool     `yaml:"required" json:"required"`
	Default  any      `yaml:"default" json:"default"`
	Choices  []string `yaml:"choices" json:"choices"`
	Min      int      `yaml:"min" json:"min"`
	Max      int      `yaml:"max" json:"max"` // 0: none
}

// The account of DefaultWorld that may launch.
const (
	DefaultToken    = "fake-awx-token"
	DefaultUser     = "tocsin"
	DefaultPassword = "fake-awx-password"
)

// ReadWorld reads a world from a YAML file.
func ReadWorld(path string) (*World, error) {
	section, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	var w World
	if err := section.Decode(&w); err != nil {
		return nil, err
	}
	return &w, nil
}

// Validate says what is wrong with w.
func (w *World) Validate() error {
	var errs []error
	var inventories, templates []string
	for _, in := range w.Inventories {
		inventories = append(inventories, in.Name)
	}
	for i, t := range w.Templates {
		if t.Name == "" {
			errs = append(errs, config.Bad(fmt.Sprintf("templates[%d].name", i), "give it a name"))
		}
		if t.Inventory != "" && !slices.Contains(inventories, t.Inventory) {
			errs = append(errs, config.Bad(fmt.Sprintf("templates[%d].inventory", i), "there is no inventory %q", t.Inventory))
		}
		for _, n := range t.Nodes {
			if !slices.Contains(templates, n) {
				errs = append(errs, config.Bad(fmt.Sprintf("templates[%d].nodes", i), "there is no template %q before it", n))
			}
		}
		templates = append(templates, t.Name)
	}
	for i, u := range w.Users {
		for _, name := range slices.Concat(u.Execute, u.Read) {
			if !slices.Contains(templates, name) {
				errs = append(errs, config.Bad(fmt.Sprintf("users[%d].execute", i), "there is no template %q", name))
			}
		}
	}
	return errors.Join(errs...)
}

// DefaultWorld has one account, one inventory of three hosts, a job template
// that prompts for what a guarded launch needs, and a workflow of it.
func DefaultWorld() *World {
	ask := []string{"limit", "variables", "job_type"}
	return &World{
		Users: []User{
			{
				Name: DefaultUser, Password: DefaultPassword, Token: DefaultToken, Inventory: []string{"prod"},
				Execute: []string{"restart", "repair", "shift"},
			},
			{Name: "admin", Password: "admin", Superuser: true},
		},
		Inventories: []Inventory{{Name: "prod", Organization: "Infra", Hosts: []Host{{Name: "web01"}, {Name: "web02"}, {Name: "db01"}}}},
		Templates: []Template{
			{Name: "restart", Organization: "Infra", Inventory: "prod", Playbook: "restart.yml", Ask: ask, Simultaneous: true},
			{Name: "shift", Organization: "Infra", Inventory: "prod", Playbook: "shift.yml", Ask: []string{"variables", "job_type"}},
			{Name: "repair", Organization: "Infra", Ask: []string{"limit", "variables"}, Nodes: []string{"restart"}, Simultaneous: true},
		},
	}
}
