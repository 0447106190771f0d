#!/usr/bin/env bash
# openai-go v3.99.0 sends JSON that says it is a form, where a field of one's own is set in a request with a picture.
#
# Behaviour: `images.Edit` sends multipart/form-data. `option.WithJSONSet` replaces the whole form by a JSON object of that field alone, while the Content-Type stays multipart/form-data with a boundary: neither
# picture nor prompt arrives, and there is no error. In JSON (`images.Generate`) it adds the field to the others.
# Seen with: openai-go v3.99.0, Go 1.26. Needs go on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		kind, _, _ := strings.Cut(request.Header.Get("Content-Type"), ";")
		shown := fmt.Sprintf("prompt=%t seed=%t", bytes.Contains(body, []byte("prompt")), bytes.Contains(body, []byte("seed")))
		if len(body) < 50 {
			shown = string(body)
		}
		fmt.Println(kind, shown)
		response.Header().Set("Content-Type", "application/json")
		fmt.Fprint(response, `{"created":1,"data":[]}`)
	}))
	defer server.Close()
	client := openai.NewClient(option.WithBaseURL(server.URL), option.WithAPIKey("k"))
	params := openai.ImageEditParams{Image: openai.ImageEditParamsImageUnion{OfFile: bytes.NewReader([]byte("a"))}, Prompt: "a"}
	ctx := context.Background()
	_, err := client.Images.Edit(ctx, params)
	fmt.Println("error:", err)
	_, err = client.Images.Edit(ctx, params, option.WithJSONSet("seed", 7))
	fmt.Println("error:", err)
	_, err = client.Images.Generate(ctx, openai.ImageGenerateParams{Prompt: "a"}, option.WithJSONSet("seed", 7))
	fmt.Println("error:", err)
}
GO
go mod init try > /dev/null 2>&1
go get github.com/openai/openai-go/v3@v3.99.0 > /dev/null 2>&1
seen=$(go run .)
expected='multipart/form-data prompt=true seed=false
error: <nil>
multipart/form-data {"seed":7}
error: <nil>
application/json {"prompt":"a","seed":7}
error: <nil>'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
