package fakeslack

import "slices"

// User is a person of the workspace.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Group is a user group, which people write as @handle.
type Group struct {
	ID     string   `json:"id"`
	Handle string   `json:"handle"`
	Users  []string `json:"users"`
}

func (f *Fake) user(id string) (User, bool) {
	i := slices.IndexFunc(f.opts.People, func(u User) bool { return u.ID == id })
	if i < 0 {
		return User{}, false
	}
	return f.opts.People[i], true
}

func (f *Fake) userInfo(a args) reply {
	u, ok := f.user(a["user"])
	if !ok {
		return fail("user_not_found")
	}
	return reply{"ok": true, "user": reply{"id": u.ID, "team_id": teamID, "name": u.Name, "profile": reply{"display_name": u.Name}}}
}

func (f *Fake) groupList(a args) reply {
	groups := make([]reply, 0, len(f.opts.Groups))
	for _, g := range f.opts.Groups {
		r := reply{"id": g.ID, "team_id": teamID, "handle": g.Handle, "name": g.Handle, "is_usergroup": true}
		if a.flag("include_users") {
			r["users"] = g.Users
		}
		groups = append(groups, r)
	}
	return reply{"ok": true, "usergroups": groups}
}

func (f *Fake) groupUsers(a args) reply {
	i := slices.IndexFunc(f.opts.Groups, func(g Group) bool { return g.ID == a["usergroup"] })
	if i < 0 {
		return fail("no_such_subteam")
	}
	return reply{"ok": true, "users": f.opts.Groups[i].Users}
}
