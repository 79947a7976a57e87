package remediate

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/page"
)

// Stage is how far a dispatch has come.
type Stage string

// The stages of a dispatch. See transitions for what follows what.
const (
	Guarding   Stage = "guarding"   // its guards are to be asked
	Waiting    Stage = "waiting"    // a guard says: not now
	Blocked    Stage = "blocked"    // a guard refuses: asked again while the alert fires
	Awaiting   Stage = "awaiting"   // a person is asked
	Claimed    Stage = "claimed"    // it holds its target; nothing was sent
	Intent     Stage = "intent"     // the launch is durable, and perhaps on the wire
	Unknown    Stage = "unknown"    // whether it was launched is to be found out
	Launched   Stage = "launched"   // its job is followed
	Cancelling Stage = "cancelling" // its job was asked to end
	Verifying  Stage = "verifying"  // the job did its work: does the alert end?

	NotCleared Stage = "not_cleared" // it did not
	NoEffect   Stage = "no_effect"   // the job touched no host
	Broken     Stage = "failed"      // the job failed, or was not followed to its end
	Refused    Stage = "rejected"    // the server did not take the launch
	Dangerous  Stage = "unsafe"      // a job was started that was not asked for

	WouldRun   Stage = "would_run"  // over: observed only; holds its episode
	Cleared    Stage = "cleared"    // over: the alert has ended and stayed so
	Gathered   Stage = "gathered"   // over: what it should find out is found out
	Expired    Stage = "expired"    // over: the alert ended, or changed, before anything was done
	Superseded Stage = "superseded" // over: its job was cancelled before it did anything
	Denied     Stage = "denied"     // over: a person said no
	Stepped    Stage = "stepped"    // over: the next step of the ladder goes on
	Escalated  Stage = "escalated"  // over: people are told that they are needed
)

// transitions are all that may follow a stage. Stages that are over have none.
func transitions() map[Stage][]Stage {
	asked := []Stage{Guarding, Waiting, Blocked, Awaiting, WouldRun, Claimed, Expired, Escalated}
	return map[Stage][]Stage{
		Guarding: asked,
		Waiting:  asked,
		Blocked:  asked,
		Awaiting: {Awaiting, Guarding, Waiting, Blocked, WouldRun, Claimed, Denied, Expired, Escalated},
		// from here on it holds its target
		Claimed:    {Waiting, Blocked, Awaiting, Expired, Intent, Escalated},
		Intent:     {Launched, Refused, Claimed, Unknown, Cancelling},
		Unknown:    {Unknown, Claimed, Launched, Cancelling, Escalated},
		Launched:   {Launched, Cancelling, Verifying, Gathered, NoEffect, Broken},
		Cancelling: {Cancelling, Superseded, Verifying, Gathered, NoEffect, Broken, Dangerous},
		Verifying:  {Verifying, Cleared, NotCleared},

		NotCleared: {Stepped, Escalated},
		NoEffect:   {Stepped, Escalated},
		Broken:     {Stepped, Escalated},
		Refused:    {Escalated},
		Dangerous:  {Escalated},
	}
}

// Stages lists every stage.
func Stages() []Stage {
	return []Stage{
		Guarding, Waiting, Blocked, Awaiting, Claimed, Intent, Unknown, Launched, Cancelling, Verifying,
		NotCleared, NoEffect, Broken, Refused, Dangerous,
		WouldRun, Cleared, Gathered, Expired, Superseded, Denied, Stepped, Escalated,
	}
}

// Over reports whether nothing more becomes of a dispatch.
func (s Stage) Over() bool {
	return slices.Contains([]Stage{WouldRun, Cleared, Gathered, Expired, Superseded, Denied, Stepped, Escalated}, s)
}

// holds reports whether a dispatch at this stage has its target for itself.
func (s Stage) holds() bool {
	return slices.Contains([]Stage{Claimed, Intent, Unknown, Launched, Cancelling, Verifying, NotCleared, NoEffect, Broken, Refused, Dangerous}, s)
}

// launched reports whether a job of the dispatch exists, or may exist.
func (s Stage) launched() bool { return s.holds() && s != Claimed && s != Refused }

// may reports whether a transition stands in the table.
func may(from, to Stage) bool { return slices.Contains(transitions()[from], to) }

// Dispatch is one step of a policy's ladder on one target in one episode of a
// problem: what was decided, launched, seen, and what came of it.
type Dispatch struct {
	ID       string `json:"id"`
	Policy   string `json:"policy"`
	Version  string `json:"version"` // of the policy, as it was judged last
	Team     string `json:"team,omitempty"`
	Receiver string `json:"receiver"`
	Problem  string `json:"problem"`
	Episode  int    `json:"episode"`
	Rung     int    `json:"rung"` // index of its step in the ladder
	Step     Step   `json:"step"` // as it was when it was judged last; fixed once claimed
	Mode     Mode   `json:"mode"`
	Target   Target `json:"target"`

	Layered []apps.Setting `json:"layered,omitempty"` // what layers set in the policy for its app

	Stage   Stage     `json:"stage"`
	Reason  string    `json:"reason"`  // of the last transition, in words
	Attempt int       `json:"attempt"` // launches that were intended
	Made    time.Time `json:"made"`
	Moved   time.Time `json:"moved"`  // the last change of stage
	Lines   int       `json:"lines"`  // of its journal
	Head    string    `json:"head"`   // sum of the journal's last line
	Spoken  string    `json:"spoken"` // what the page was told last

	Verdicts []Verdict  `json:"verdicts,omitempty"` // of the last time they were asked
	Judged   time.Time  `json:"judged,omitzero"`    // when that was
	Approval []Decision `json:"approval,omitempty"` // what people said, oldest first
	Asked    time.Time  `json:"asked,omitzero"`     // when people were asked
	Roles    []string   `json:"roles,omitempty"`    // of those who were: who may approve
	Expires  time.Time  `json:"expires,omitzero"`   // of the question

	Intent   *Order    `json:"intent,omitempty"`
	Job      *Job      `json:"job,omitempty"`
	Seized   int64     `json:"seized,omitempty"` // the job that claimed it from inside its playbook
	Evidence *Evidence `json:"evidence,omitempty"`
	Readings []Reading `json:"readings,omitempty"` // what the policy's questions saw before the launch, and in the end

	StableFor time.Duration `json:"stable_for,omitempty"`
	Calm      time.Time     `json:"calm,omitzero"`    // since when the alert is resolved
	Early     bool          `json:"early,omitempty"`  // the alert ended before the job did
	Trouble   time.Time     `json:"trouble,omitzero"` // since when the backend cannot be asked
	Wrong     string        `json:"wrong,omitempty"`  // why its job is unsafe
	Ask       time.Time     `json:"ask,omitzero"`     // when its job was asked to end
	Ended     time.Time     `json:"ended,omitzero"`   // when its job was seen to have ended
	Next      string        `json:"next,omitempty"`   // dispatch of the next step
}

// Order is a launch as it was made durable before it was sent.
type Order struct {
	Launch    Launch    `json:"launch"`
	Watermark int64     `json:"watermark"`
	At        time.Time `json:"at"`      // sent then, or up to store.Sure later, or never
	Fence     uint64    `json:"fence"`   // token of the lease under which it was written
	Settled   time.Time `json:"settled"` // from then on its absence is a proof
}

// Decision is what one person said about a dispatch.
type Decision struct {
	By      string    `json:"by"`
	Via     string    `json:"via,omitempty"`
	At      time.Time `json:"at"`
	Approve bool      `json:"approve"`
}

// approved returns the last decision since people were asked, if it approves and
// still counts.
func (d *Dispatch) approved(now time.Time) (Decision, bool) {
	if len(d.Approval) == 0 {
		return Decision{}, false
	}
	a := d.Approval[len(d.Approval)-1]
	return a, a.Approve && !a.At.Before(d.Asked) && now.Before(a.At.Add(approvalGood))
}

// ModeText is the mode, and, where a layer set it, by which line:
// observe (layers/app/checkout.yaml:4).
func (d *Dispatch) ModeText() string { return modeText(d.Mode, d.Layered) }

func modeText(m Mode, layered []apps.Setting) string {
	for _, s := range slices.Backward(layered) {
		if s.Field == "mode" && s.Value == string(m) {
			return fmt.Sprintf("%s (%s)", m, s.At)
		}
	}
	return string(m)
}

// DispatchID names a step of a policy on a target in an episode. It is the same
// whoever makes it, so a step can be begun but once; ids sort by the episode's
// beginning, as ULIDs do.
func DispatchID(policy string, p page.Problem, t Target, rung int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q %q %d", policy, p.ID, p.Episode, t.ID(), t.Value, rung))
	return idOf(p.Opened, sum[:10])
}

// idOf is an id of a time's milliseconds and ten bytes, none: before all of that time.
func idOf(at time.Time, rest []byte) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(max(0, at.UnixMilli()))<<16)
	copy(raw[6:], rest)
	return strings.ToLower(base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding).EncodeToString(raw[:]))
}

// MayFollow reports whether the machine leads from one stage to another at once.
func MayFollow(from, to Stage) bool { return may(from, to) }
