package web

import (
	"context"
	"maps"
	"net/url"
)

// Paging is embedded in the input of every list. Limit is within bounds when the
// handler sees it; Cursor is for DecodeCursor, and "" asks for the first page.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"nextCursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The maximum number of items"`
}

// Page is a list: data is never null, nextCursor is null on the last page.
type Page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"nextCursor" doc:"Give it back as cursor for the next page"`
}

// PageOf is a whole answer with a page in it.
type PageOf[T any] struct {
	Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)"`
	Body Page[T]
}

// Paged builds the answer. next is the cursor behind the last row, or "" when
// there is nothing more; its link keeps the request's other parameters.
func Paged[T any](ctx context.Context, data []T, next string) *PageOf[T] {
	if data == nil {
		data = []T{}
	}
	page := &PageOf[T]{Body: Page[T]{Data: data}}
	if next == "" {
		return page
	}
	page.Body.NextCursor = &next
	if r := requestFrom(ctx); r != nil {
		page.Link = r.nextLink(next)
	}
	return page
}

func (r *request) nextLink(cursor string) string {
	query := url.Values{}
	maps.Copy(query, r.query)
	query.Set("cursor", cursor)
	return "<" + string(r.c.Request().URI().PathOriginal()) + "?" + query.Encode() + `>; rel="next"`
}
