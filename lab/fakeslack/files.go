package fakeslack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// slackFile is how an image block names a file.
type slackFile struct {
	ID string `json:"id"`
}

// file is one upload on its way through its three steps.
type file struct {
	id, name, title, alt string
	length               int
	at                   time.Time // of the first step
	data                 []byte    // nil until the second
	shared               time.Time // of the third; zero until then
	ready                time.Time
}

// File is a file as the ledger tells it.
type File struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Title  string `json:"title"`
	Alt    string `json:"alt_txt"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func (x *file) ledger() File {
	sum := sha256.Sum256(x.data)
	return File{ID: x.id, Name: x.name, Title: x.title, Alt: x.alt, Size: len(x.data), SHA256: hex.EncodeToString(sum[:])}
}

func (x *file) wire() reply {
	return reply{"id": x.id, "name": x.name, "title": x.title, "alt_txt": x.alt, "size": len(x.data), "mimetype": "image/png", "mode": "hosted"}
}

const maxAltFile = 1000

func (f *Fake) uploadURL(a args) reply {
	n, err := strconv.Atoi(a["length"])
	switch {
	case a["filename"] == "":
		return fail("invalid_arguments", "[ERROR] missing required field: filename")
	case err != nil || n <= 0:
		return fail("invalid_arguments", "[ERROR] must be greater than 0 [json-pointer:/length]")
	case len([]rune(a["alt_txt"])) > maxAltFile:
		return fail("alt_txt_too_large")
	}
	f.serial++
	x := &file{id: fmt.Sprintf("F0FILE%d", f.serial), name: a["filename"], title: a["filename"], alt: a["alt_txt"], length: n, at: f.opts.Now()}
	f.files[x.id] = x
	return reply{"ok": true, "upload_url": f.base + "/upload/v1/" + x.id, "file_id": x.id}
}

// serveUpload takes the bytes, raw or as the first part of a form.
func (f *Fake) serveUpload(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		parts, err := r.MultipartReader()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		part, err := parts.NextPart()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = part
	}
	data, err := io.ReadAll(io.LimitReader(body, 64<<20))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests["upload"]++
	x := f.files[r.PathValue("id")]
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case x == nil:
		http.Error(w, "no such upload", http.StatusNotFound)
	case f.opts.Now().Sub(x.at) > f.opts.UploadFor:
		http.Error(w, "the upload address has expired", http.StatusGone)
	case len(data) != x.length:
		http.Error(w, fmt.Sprintf("%d bytes were announced, %d came", x.length, len(data)), http.StatusBadRequest)
	default:
		x.data = data
		fmt.Fprintf(w, "OK - %d", len(data))
	}
}

func (f *Fake) completeUpload(a args) reply {
	var in []struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	if json.Unmarshal([]byte(a["files"]), &in) != nil || len(in) == 0 {
		return fail("invalid_arguments", "[ERROR] missing required field: files")
	}
	files := make([]*file, 0, len(in))
	answer := []reply{}
	for _, one := range in {
		x := f.files[one.ID]
		if x == nil || x.data == nil || !x.shared.IsZero() {
			return fail("file_not_found")
		}
		if one.Title != "" {
			x.title = one.Title
		}
		files = append(files, x)
		answer = append(answer, reply{"id": x.id, "title": x.title}) // its shares come later
	}
	now := f.opts.Now()
	if a["channel_id"] != "" {
		c, bad := f.open(a["channel_id"])
		if bad != nil {
			return bad
		}
		root, bad := f.root(c, a["thread_ts"])
		if bad != nil {
			return bad
		}
		m := &message{
			ts: c.nextTS(now), bot: botID, user: botUser, files: files,
			versions: []version{{at: now.Add(f.opts.FileLag), text: a["initial_comment"], autolink: true}},
		}
		m.replyTo(root, false)
		c.messages = append(c.messages, m)
	}
	for _, x := range files {
		x.shared, x.ready = now, now.Add(f.opts.FileLag)
	}
	return reply{"ok": true, "files": answer}
}

func (f *Fake) fileInfo(a args) reply {
	x := f.files[a["file"]]
	if x == nil || x.shared.IsZero() {
		return fail("file_not_found")
	}
	return reply{"ok": true, "file": x.wire()}
}

// fileReady reports whether an image block may show the file.
func (f *Fake) fileReady(id string) bool {
	x := f.files[id]
	return x != nil && !x.shared.IsZero() && !x.ready.After(f.opts.Now())
}

func (f *Fake) serveFile(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	x := f.files[r.PathValue("id")]
	var data []byte
	if x != nil {
		data = x.data
	}
	f.mu.Unlock()
	if len(data) == 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(data)
}
