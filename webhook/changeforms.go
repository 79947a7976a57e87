package webhook

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// changeForms is every form of a change at once: which one it is shows by the
// fields that are there.
type changeForms struct {
	Kind   string      `json:"kind"`
	Title  string      `json:"title"`
	Labels page.Labels `json:"labels"`
	At     moment      `json:"at"`
	ID     string      `json:"id"`
	Link   string      `json:"link"`

	githubForm
	argoForm
	kubernetesForm
}

// moment is a time as RFC 3339; "" and null are none.
type moment struct{ time.Time }

// UnmarshalJSON reads it.
func (m *moment) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil || *s == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, *s)
	m.Time = t
	return err
}

func (f changeForms) change() (page.Change, error) {
	switch {
	case f.Deployment != nil:
		return f.githubForm.change()
	case f.App != nil:
		return f.App.change(f.URL)
	case f.Kind == "Application" && strings.HasPrefix(f.APIVersion, "argoproj.io/"):
		return application{Metadata: f.Metadata, Spec: f.Spec, Status: f.Status}.change("")
	case f.Kind == "Event" && (f.Involved != nil || f.Regarding != nil):
		return f.kubernetes()
	}
	return page.Change{Kind: f.Kind, Title: f.Title, Labels: f.Labels, At: f.At.Time, ID: f.ID, Link: f.Link}, nil
}

// githubForm is the webhook of GitHub's events deployment and deployment_status.
type githubForm struct {
	Deployment *struct {
		ID          int64  `json:"id"`
		Ref         string `json:"ref"`
		SHA         string `json:"sha"`
		Environment string `json:"environment"`
		CreatedAt   moment `json:"created_at"`
	} `json:"deployment"`
	DeploymentStatus *struct {
		State     string `json:"state"`
		CreatedAt moment `json:"created_at"`
		TargetURL string `json:"target_url"`
		LogURL    string `json:"log_url"`
	} `json:"deployment_status"`
	Repository struct {
		Name    string `json:"name"`
		HTMLURL string `json:"html_url"`
	} `json:"repository"`
}

func (f githubForm) change() (page.Change, error) {
	d := f.Deployment
	c := page.Change{
		Kind: "deploy", Title: d.Ref, At: d.CreatedAt.Time, Link: f.Repository.HTMLURL,
		ID: "github/" + f.Repository.Name + "/" + strconv.FormatInt(d.ID, 10), Labels: labelled("service", f.Repository.Name, "environment", d.Environment),
	}
	if c.Title == "" || c.Title == d.SHA {
		c.Title = abbreviated(d.SHA)
	}
	if s := f.DeploymentStatus; s != nil {
		switch s.State {
		case "in_progress", "success":
		default: // queued, pending, failure, error, inactive: what runs stays as it is
			return c, ErrNoChange
		}
		c.At, c.ID = s.CreatedAt.Time, c.ID+"/"+s.State
		c.Link = cmp.Or(s.LogURL, s.TargetURL, c.Link)
	}
	return c, nil
}

// argoForm is what a notification template of Argo CD sends: the application as
// it is, or as the field app beside a url.
type argoForm struct {
	App      *application `json:"app"`
	URL      string       `json:"url"`
	Metadata metadata     `json:"metadata"`
	Spec     appSpec      `json:"spec"`
	Status   appStatus    `json:"status"`
}

type metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

type application struct {
	Metadata metadata  `json:"metadata"`
	Spec     appSpec   `json:"spec"`
	Status   appStatus `json:"status"`
}

type appSpec struct {
	Destination struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"destination"`
}

type appStatus struct {
	OperationState struct {
		Phase      string `json:"phase"`
		StartedAt  moment `json:"startedAt"`
		SyncResult struct {
			Revision string `json:"revision"`
		} `json:"syncResult"`
	} `json:"operationState"`
	Sync struct {
		Revision string `json:"revision"`
	} `json:"sync"`
}

func (a application) change(link string) (page.Change, error) {
	op := a.Status.OperationState
	revision := cmp.Or(op.SyncResult.Revision, a.Status.Sync.Revision)
	c := page.Change{
		Kind: "deploy", Title: abbreviated(revision), At: op.StartedAt.Time, Link: link,
		ID:     strings.Join([]string{"argocd", a.Metadata.Namespace, a.Metadata.Name, revision, op.StartedAt.UTC().Format(time.RFC3339)}, "/"),
		Labels: labelled("service", a.Metadata.Name, "namespace", a.Spec.Destination.Namespace, "cluster", a.Spec.Destination.Name),
	}
	if op.Phase == "" || revision == "" {
		return c, ErrNoChange // health, or a refresh: nothing was synced
	}
	return c, nil
}

// kubernetesForm is an Event of core/v1, or of events.k8s.io/v1, as exporters of
// events send them.
type kubernetesForm struct {
	APIVersion string  `json:"apiVersion"`
	Involved   *object `json:"involvedObject"`
	Regarding  *object `json:"regarding"`
	Reason     string  `json:"reason"`
	First      moment  `json:"firstTimestamp"`
	Last       moment  `json:"lastTimestamp"`
	EventTime  moment  `json:"eventTime"`
}

type object struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

func (f changeForms) kubernetes() (page.Change, error) {
	o := f.Regarding
	if f.Involved != nil {
		o = f.Involved
	}
	at := f.Last.Time
	for _, t := range []moment{f.EventTime, f.First} {
		if at.IsZero() {
			at = t.Time
		}
	}
	c := page.Change{
		Title: f.Reason + " " + o.Name, At: at,
		ID: strings.Join([]string{"kubernetes", f.Metadata.UID, o.Namespace, o.Name, f.Reason, at.UTC().Format(time.RFC3339)}, "/"),
	}
	switch f.Reason {
	case "ScalingReplicaSet":
		c.Kind = "rollout"
	case "SuccessfulRescale":
		c.Kind = "scale"
	case "NodeNotReady", "NodeReady", "Rebooted", "NodeSchedulable", "NodeNotSchedulable", "Drain":
		c.Kind = "node"
	case "LeaderElection":
		c.Kind = "failover"
	case "Killing", "BackOff", "OOMKilling", "Evicted", "Preempted":
		c.Kind = "restart"
	default: // Pulled, Scheduled, Unhealthy …: they accompany a change or report a fault
		return c, ErrNoChange
	}
	name := strings.ToLower(o.Kind)
	switch name {
	case "deployment", "statefulset", "daemonset", "horizontalpodautoscaler":
		name = "service"
	}
	c.Labels = labelled(name, o.Name, "namespace", o.Namespace)
	return c, nil
}

// labelled pairs names with values and leaves out what is not there.
func labelled(pairs ...string) page.Labels {
	out := page.Labels{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != "" && pairs[i+1] != "" {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// abbreviated shortens a commit as people do.
func abbreviated(sha string) string {
	if len(sha) == 40 && strings.Trim(sha, "0123456789abcdef") == "" {
		return sha[:7]
	}
	return sha
}
