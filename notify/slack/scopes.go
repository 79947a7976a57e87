package slack

// Scope is a right the app asks for, and what for. docs/slack.md has the
// manifest.
type Scope struct {
	Name     string
	Methods  []string // of the Web API that need it
	Without  string   // what there is not without it
	OfApp    bool     // of the app-level token, not of the bot's
	Required bool
}

// Scopes lists every scope that is used.
func Scopes() []Scope {
	history := []string{"conversations.history", "conversations.replies"}
	return []Scope{
		{Name: "chat:write", Methods: []string{"chat.postMessage", "chat.update", "chat.delete"}, Without: "nothing is posted", Required: true},
		{Name: "channels:history", Methods: history, Without: "a message whose answer was lost is posted again, marked as a possible repeat"},
		{Name: "groups:history", Methods: history, Without: "the same in private channels"},
		{Name: "files:write", Methods: []string{"files.getUploadURLExternal", "files.completeUploadExternal"}, Without: "there is no chart in the thread"},
		{Name: "usergroups:read", Methods: []string{"usergroups.list"}, Without: "roles of user groups do not count, those of users do"},
		{Name: "connections:write", Methods: []string{"apps.connections.open"}, Without: "there is no Socket Mode", OfApp: true},
	}
}
