// The uncached path as a Go program, with net/http on both sides and an access token that x/oauth2 fetches, keeps and
// sends. It does no more than the broker: it does not inspect checkout tokens, and it writes no log.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const maximumBody = 64 << 10

func main() {
	vendor := os.Args[1]
	config := clientcredentials.Config{
		ClientID: "id", ClientSecret: "secret", TokenURL: vendor + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader,
	}
	// The same number of connections as the broker's transport.
	base := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}
	client := config.Client(context.WithValue(context.Background(), oauth2.HTTPClient, base))
	client.Timeout = 10 * time.Second

	constant := []byte(`{"token": "` + strings.Repeat("x", 400) + `"}`)
	http.HandleFunc("/constant", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(constant)
	})
	http.HandleFunc("/uncached", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Customer string `json:"customerId"`
			Invoice  string `json:"invoiceId"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maximumBody)).Decode(&asked)
		if err != nil || asked.Customer == "" || asked.Invoice == "" {
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		token, err := checkoutToken(r.Context(), client, vendor, asked.Customer, asked.Invoice)
		if err != nil {
			http.Error(w, "vendor unavailable", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"token": token, "environment": "demo"})
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}

func checkoutToken(ctx context.Context, client *http.Client, vendor, customer, invoice string) (string, error) {
	body, err := json.Marshal(map[string]string{"customer_id": customer, "invoice_id": invoice})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", vendor+"/v1/checkout-auth/init", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	// Read the body to its end; otherwise the connection would not be reused.
	text, err := io.ReadAll(io.LimitReader(response.Body, maximumBody))
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || answer.Token == "" {
		return "", fmt.Errorf("the vendor returned %d", response.StatusCode)
	}
	return answer.Token, nil
}
