package slack

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Config is the section of one Slack channel. docs/slack.md has the app's
// manifest and says what each scope is for. With a signing secret, or an app
// token, the message has buttons.
type Config struct {
	TokenFile config.SecretFile `yaml:"token_file" need:"true" doc:"File with the bot token (xoxb-…) of an app with the scopes chat:write and channels:history (groups:history for a private channel); files:write for charts, usergroups:read for roles of user groups."`
	Channel   string            `yaml:"channel" need:"true" doc:"ID of the channel (C0123ABCD), which stays when the channel is renamed. The app must be a member."`
	APIURL    string            `yaml:"api_url" doc:"Base address of Slack's Web API."`

	SigningSecretFiles []config.SecretFile `yaml:"signing_secret_files" doc:"Files with the app's signing secret: the message has buttons, and Slack tells of a press at /callback/slack/<name>. Two while one is rotated."`
	AppTokenFile       config.SecretFile   `yaml:"app_token_file" doc:"File with the app-level token (xapp-…, scope connections:write): the message has buttons, and Tocsin hears of a press by a connection it opens (Socket Mode). For an installation without a public address."`
	MessagesPerSecond  float64             `yaml:"messages_per_second" doc:"Messages and thread replies a second in this channel: Slack takes one, and short bursts."`
	EditsPerMinute     float64             `yaml:"edits_per_minute" doc:"Edits a minute of all channels together: Slack takes some fifty in a workspace, of which ten are left to others."`

	Morning  string `yaml:"morning" doc:"When \"silence until morning\" ends, as 08:00."`
	TimeZone string `yaml:"time_zone" doc:"Time zone of the morning and of times on buttons, as Europe/Berlin."`
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if c.MessagesPerSecond <= 0 || c.MessagesPerSecond > 10_000 {
		errs = append(errs, config.Bad("messages_per_second", "%g: write 1, or what Slack allows you", c.MessagesPerSecond))
	}
	if c.EditsPerMinute <= 0 || c.EditsPerMinute > 600_000 {
		errs = append(errs, config.Bad("edits_per_minute", "%g: write 40, or what Slack allows you", c.EditsPerMinute))
	}
	if c.TokenFile == "" {
		errs = append(errs, config.Bad("token_file", "name the file that holds the bot token"))
	}
	if !regexp.MustCompile(`^[CGD][A-Z0-9]+$`).MatchString(c.Channel) {
		errs = append(errs, config.Bad("channel", "%q is not a channel ID: open the channel's details in Slack and copy the ID at the end, like C0123ABCD", c.Channel))
	}
	if _, ok := page.WebURL(c.APIURL); !ok {
		errs = append(errs, config.Bad("api_url", "write it as https://slack.com/api/"))
	}
	if len(c.SigningSecretFiles) > maxSecrets {
		errs = append(errs, config.Bad("signing_secret_files", "name the secret that is in use and the one it is rotated to, not %d", len(c.SigningSecretFiles)))
	}
	if _, err := time.Parse(clock, c.Morning); err != nil {
		errs = append(errs, config.Bad("morning", "%q is not a time of day: write it as 08:00", c.Morning))
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "Local" {
		errs = append(errs, config.Bad("time_zone", "%q is not a time zone: write it as Europe/Berlin or UTC", c.TimeZone))
	}
	return errors.Join(errs...)
}

const (
	clock      = "15:04"
	maxSecrets = 2
)

// secrets are what the files of a Config hold.
type secrets struct {
	token, app config.Secret
	signing    []config.Secret
}

func (c *Config) read() (secrets, error) {
	var s secrets
	var err error
	if s.token, err = c.TokenFile.Read(); err != nil {
		return s, config.Bad("token_file", "%v", err)
	}
	for _, f := range c.SigningSecretFiles {
		secret, err := f.Read()
		if err != nil {
			return s, config.Bad("signing_secret_files", "%v", err)
		}
		s.signing = append(s.signing, secret)
	}
	if c.AppTokenFile == "" {
		return s, nil
	}
	if s.app, err = c.AppTokenFile.Read(); err != nil {
		return s, config.Bad("app_token_file", "%v", err)
	}
	if !strings.HasPrefix(s.app.Reveal(), "xapp-") {
		return s, config.Bad("app_token_file", "it holds no app-level token: make one with the scope connections:write under Basic Information of the app; it begins with xapp-")
	}
	return s, nil
}
