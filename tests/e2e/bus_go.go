// The bus by NATS's Go client, as Debian packages it: everything that its API offers of core, streams, key-value and object
// buckets. Run by bus_go.test.mjs against candela and nats-server:  bus_go URL CREDS
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const patience = 5 * time.Second

func expect(condition bool, format string, args ...interface{}) {
	if !condition {
		panic("not so: " + fmt.Sprintf(format, args...))
	}
}

func check(err error, what string) {
	if err != nil {
		panic(what + ": " + err.Error())
	}
}

func open(url, creds string, options ...nats.Option) *nats.Conn {
	nc, err := nats.Connect(url, append(options, nats.UserCredentials(creds))...)
	check(err, "connecting")
	return nc
}

func next(sub *nats.Subscription) *nats.Msg {
	m, err := sub.NextMsg(patience)
	check(err, "the next message")
	return m
}

func core(one, two *nats.Conn) {
	star, err := two.SubscribeSync("go.*.x")
	check(err, "subscribing")
	rest, err := two.SubscribeSync("go.>")
	check(err, "subscribing")
	check(two.Flush(), "flush")
	for _, subject := range []string{"go.1.x", "go.1.y", "other"} {
		check(one.Publish(subject, []byte(subject)), "publishing")
	}
	check(one.Flush(), "flush")
	expect(next(star).Subject == "go.1.x", "the star's subject")
	expect(next(rest).Subject == "go.1.x" && next(rest).Subject == "go.1.y", "the rest's subjects")
	check(two.Flush(), "flush")
	pending, _, err := star.Pending()
	check(err, "pending")
	expect(pending == 0, "nothing more")
	check(star.Unsubscribe(), "unsubscribing")
	check(rest.Unsubscribe(), "unsubscribing")
	check(two.Flush(), "flush")

	// A queue group shares; automatic unsubscription ends it after so many.
	var counts [2]int64
	for i, nc := range []*nats.Conn{one, two} {
		count := &counts[i]
		_, err := nc.QueueSubscribe("go.jobs", "q", func(*nats.Msg) { atomic.AddInt64(count, 1) })
		check(err, "subscribing")
		check(nc.Flush(), "flush")
	}
	limited, err := two.SubscribeSync("go.jobs")
	check(err, "subscribing")
	check(limited.AutoUnsubscribe(10), "unsubscribing")
	check(two.Flush(), "flush")
	for i := 0; i < 400; i++ {
		check(one.Publish("go.jobs", nil), "publishing")
	}
	check(one.Flush(), "flush")
	for end := time.Now().Add(patience); atomic.LoadInt64(&counts[0])+atomic.LoadInt64(&counts[1]) < 400; {
		expect(time.Now().Before(end), "400 jobs, not %v", counts)
		time.Sleep(time.Millisecond)
	}
	expect(counts[0]+counts[1] == 400 && counts[0] > 100 && counts[1] > 100, "fair shares, not %v", counts)
	for i := 0; i < 10; i++ {
		next(limited)
	}
	_, err = limited.NextMsg(patience)
	expect(errors.Is(err, nats.ErrMaxMessages), "an end after ten, not %v", err)
}

func requests(one, two *nats.Conn) {
	_, err := two.Subscribe("go.ask", func(m *nats.Msg) {
		answer := nats.NewMsg(m.Reply)
		answer.Header.Set("Colour", m.Header.Get("Colour"))
		answer.Data = append([]byte("re: "), m.Data...)
		check(m.RespondMsg(answer), "answering")
	})
	check(err, "subscribing")
	check(two.Flush(), "flush")
	for i := 0; i < 50; i++ {
		m := nats.NewMsg("go.ask")
		m.Data = []byte(strconv.Itoa(i))
		m.Header.Set("Colour", "green")
		answer, err := one.RequestMsg(m, patience)
		check(err, "asking")
		expect(string(answer.Data) == "re: "+strconv.Itoa(i) && answer.Header.Get("Colour") == "green", "the answer")
	}
	_, err = one.Request("go.nobody", nil, patience)
	expect(errors.Is(err, nats.ErrNoResponders), "nobody there, not %v", err)
	expect(one.MaxPayload() == 1024*1024, "the maximum payload")
	expect(errors.Is(one.Publish("go.big", make([]byte, 1024*1024+1)), nats.ErrMaxPayload), "too much is refused")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(one.FlushWithContext(ctx), "flush")
	rtt, err := one.RTT()
	check(err, "rtt")
	expect(rtt > 0, "rtt")
}

func drain(url, creds string, one *nats.Conn) {
	closed := make(chan bool)
	nc := open(url, creds, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	var count int64
	_, err := nc.Subscribe("go.drain", func(*nats.Msg) { atomic.AddInt64(&count, 1) })
	check(err, "subscribing")
	check(nc.Flush(), "flush")
	for i := 0; i < 500; i++ {
		check(one.Publish("go.drain", nil), "publishing")
	}
	check(one.Flush(), "flush")
	check(nc.Drain(), "draining")
	select {
	case <-closed:
	case <-time.After(patience):
		panic("the drain did not end")
	}
	expect(atomic.LoadInt64(&count) == 500, "all of it, not %d", count)
}

func streams(nc *nats.Conn) {
	js, err := nc.JetStream(nats.MaxWait(patience))
	check(err, "jetstream")
	_, err = js.AddStream(&nats.StreamConfig{Name: "GO", Subjects: []string{"gs.*"}, Duplicates: time.Minute, AllowRollup: true, AllowDirect: true})
	check(err, "a stream")
	var futures []nats.PubAckFuture
	for i := 0; i < 100; i++ {
		future, err := js.PublishAsync("gs."+strconv.Itoa(i%2), []byte(strconv.Itoa(i)))
		check(err, "publishing")
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case ack := <-future.Ok():
			expect(ack.Stream == "GO" && ack.Sequence > 0, "the ack")
		case err := <-future.Err():
			check(err, "publishing")
		case <-time.After(patience):
			panic("no ack")
		}
	}
	ack, err := js.Publish("gs.0", []byte("x"), nats.MsgId("one"), nats.ExpectLastSequence(100))
	check(err, "publishing")
	again, err := js.Publish("gs.0", []byte("x"), nats.MsgId("one"))
	check(err, "publishing again")
	expect(!ack.Duplicate && again.Duplicate && again.Sequence == 101, "a duplicate")
	_, err = js.Publish("gs.0", nil, nats.ExpectLastSequence(5))
	var failed *nats.APIError
	expect(errors.As(err, &failed) && failed.ErrorCode == 10071, "a wrong last sequence, not %v", err)

	pull, err := js.PullSubscribe("gs.1", "puller", nats.AckWait(time.Second))
	check(err, "a pull subscription")
	messages, err := pull.Fetch(20, nats.MaxWait(patience))
	check(err, "fetching")
	expect(len(messages) == 20, "twenty")
	check(messages[0].AckSync(), "acknowledging")
	check(messages[1].NakWithDelay(50*time.Millisecond), "later")
	check(messages[2].Term(), "never")
	for _, m := range messages[3:] {
		check(m.Ack(), "acknowledging")
	}
	seen := map[uint64]uint64{}
	for len(seen) < 31 {
		more, err := pull.Fetch(31-len(seen), nats.MaxWait(patience))
		check(err, "fetching")
		for _, m := range more {
			meta, err := m.Metadata()
			check(err, "metadata")
			seen[meta.Sequence.Stream] = meta.NumDelivered
			check(m.InProgress(), "in progress")
			check(m.AckSync(), "acknowledging")
		}
	}
	meta, _ := messages[1].Metadata()
	expect(len(seen) == 31 && seen[meta.Sequence.Stream] == 2, "thirty and one again, not %d", len(seen))
	info, err := js.ConsumerInfo("GO", "puller")
	check(err, "info")
	expect(info.NumAckPending == 0 && info.NumPending == 0, "all done")

	push, err := js.SubscribeSync("gs.0", nats.Durable("pusher"), nats.ManualAck(), nats.DeliverNew())
	check(err, "a push subscription")
	_, err = js.Publish("gs.0", []byte("pushed"))
	check(err, "publishing")
	m := next(push)
	expect(string(m.Data) == "pushed", "what was pushed")
	check(m.AckSync(), "acknowledging")

	ordered, err := js.SubscribeSync("gs.*", nats.OrderedConsumer())
	check(err, "an ordered subscription")
	for i := uint64(1); i <= 102; i++ {
		meta, err := next(ordered).Metadata()
		check(err, "metadata")
		expect(meta.Sequence.Stream == i, "in order")
	}
	last, err := js.GetLastMsg("GO", "gs.0", nats.DirectGet())
	check(err, "the last message")
	expect(string(last.Data) == "pushed" && last.Sequence == 102, "the last message")
	_, err = js.GetMsg("GO", 999)
	expect(errors.Is(err, nats.ErrMsgNotFound), "no such message, not %v", err)
	check(js.DeleteMsg("GO", 2), "deleting a message")
	check(js.PurgeStream("GO", &nats.StreamPurgeRequest{Subject: "gs.1"}), "purging")
	state, err := js.StreamInfo("GO", &nats.StreamInfoRequest{SubjectsFilter: ">"})
	check(err, "info")
	expect(state.State.Msgs == 52 && state.State.Subjects["gs.0"] == 52, "what is left, not %d", state.State.Msgs)
	var names []string
	for name := range js.StreamNames() {
		names = append(names, name)
	}
	expect(strings.Join(names, ",") == "GO", "names, not %v", names)
	_, err = js.StreamInfo("NONE")
	expect(errors.Is(err, nats.ErrStreamNotFound), "no such stream, not %v", err)
	account, err := js.AccountInfo()
	check(err, "account")
	expect(account.Streams == 1, "one stream")
	check(js.DeleteStream("GO"), "deleting")
}

func buckets(nc *nats.Conn) {
	js, err := nc.JetStream(nats.MaxWait(patience))
	check(err, "jetstream")
	kv, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "GOKV", History: 5})
	check(err, "a bucket")
	first, err := kv.Create("a", []byte("1"))
	check(err, "creating")
	_, err = kv.Create("a", []byte("2"))
	expect(errors.Is(err, nats.ErrKeyExists), "it is there, not %v", err)
	_, err = kv.Update("a", []byte("2"), first)
	check(err, "updating")
	_, err = kv.Update("a", []byte("3"), first)
	expect(err != nil, "an older revision")
	old, err := kv.GetRevision("a", first)
	check(err, "an older revision")
	expect(string(old.Value()) == "1", "its value")
	watcher, err := kv.WatchAll()
	check(err, "watching")
	entry := <-watcher.Updates()
	expect(entry.Key() == "a" && string(entry.Value()) == "2", "what was there")
	expect(<-watcher.Updates() == nil, "the end of what was there")
	// One after the other: a purge takes away what was put before it, seen or not.
	next := func(wanted nats.KeyValueOp) {
		select {
		case entry := <-watcher.Updates():
			expect(entry.Operation() == wanted, "%v, not %v", wanted, entry.Operation())
		case <-time.After(patience):
			panic("no update")
		}
	}
	_, err = kv.PutString("b", "new")
	check(err, "putting")
	next(nats.KeyValuePut)
	check(kv.Delete("a"), "deleting")
	next(nats.KeyValueDelete)
	check(kv.Purge("b"), "purging")
	next(nats.KeyValuePurge)
	check(watcher.Stop(), "stopping")
	_, err = kv.Get("a")
	expect(errors.Is(err, nats.ErrKeyNotFound), "it is deleted, not %v", err)
	history, err := kv.History("a")
	check(err, "history")
	expect(len(history) == 3, "three entries")
	_, err = kv.Keys()
	expect(errors.Is(err, nats.ErrNoKeysFound), "no keys, not %v", err)
	check(js.DeleteKeyValue("GOKV"), "deleting the bucket")

	store, err := js.CreateObjectStore(&nats.ObjectStoreConfig{Bucket: "GOOBJ"})
	check(err, "an object store")
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	info, err := store.PutBytes("big", content)
	check(err, "putting")
	expect(info.Size == 500_000 && info.Chunks == 4, "its size")
	got, err := store.GetBytes("big")
	check(err, "getting")
	expect(bytes.Equal(got, content), "its content")
	_, err = store.PutString("small", "x")
	check(err, "putting")
	list, err := store.List()
	check(err, "listing")
	var names []string
	for _, each := range list {
		names = append(names, each.Name)
	}
	sort.Strings(names)
	expect(strings.Join(names, ",") == "big,small", "names, not %v", names)
	check(store.Delete("big"), "deleting")
	_, err = store.GetBytes("big")
	expect(errors.Is(err, nats.ErrObjectNotFound), "it is deleted, not %v", err)
	check(js.DeleteObjectStore("GOOBJ"), "deleting the store")
}

func main() {
	url, creds := os.Args[1], os.Args[2]
	one, two := open(url, creds), open(url, creds)
	defer one.Close()
	defer two.Close()
	core(one, two)
	requests(one, two)
	drain(url, creds, one)
	streams(one)
	buckets(one)
	fmt.Println("all well")
}
