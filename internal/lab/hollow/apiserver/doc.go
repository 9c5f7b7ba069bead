// Package apiserver is a modelled Kubernetes API: a store of objects, and servers
// that offer it over HTTPS as kube-apiserver does, to client-go and whatever else
// speaks to the real one. Discovery, lists in pages, watches with history, patches,
// optimistic locks, graceful deletion, finalizers and eviction under budgets are as
// real; so are the errors.
//
// One [Store] is shared by all servers of a cluster; a [Server] is one process of
// one control plane, which can be stopped, started as another release, and be
// unready. What the objects lead to is done elsewhere: by the controllers in the
// package of that name, and by whoever plays the kubelet.
//
// It is no API server for anybody but the lab: whoever shows a certificate may do
// everything, webhooks are not called, fields are not validated beyond their types,
// custom resources are served in their storage version only, server-side apply
// merges and takes every field it is given, but removes none, and answers are JSON
// over HTTP/1.1, whatever else the client would take.
package apiserver
