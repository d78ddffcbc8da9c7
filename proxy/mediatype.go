package proxy

import (
	"mime"
	"path/filepath"
	"strings"
)

// mediaTypes are what browsers get wrong without a Content-Type, or where
// machines disagree: a script has to have the type of one, under nosniff.
var mediaTypes = map[string]string{
	".avif": "image/avif", ".bmp": "image/bmp", ".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".eot": "application/vnd.ms-fontobject", ".gif": "image/gif", ".gz": "application/gzip", ".htm": "text/html; charset=utf-8",
	".html": "text/html; charset=utf-8", ".ico": "image/vnd.microsoft.icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".md": "text/markdown; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".mp3": "audio/mpeg", ".mp4": "video/mp4",
	".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml", ".ttf": "font/ttf",
	".txt": "text/plain; charset=utf-8", ".wasm": "application/wasm", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
	".xml": "text/xml; charset=utf-8", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}

// contentType is the type of a file by its name. What a file holds is never asked:
// whoever may upload to the folder would choose what browsers run.
func contentType(name string) string {
	ext := strings.ToLower(filepath.Ext(name))
	if t := mediaTypes[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}
