package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const clusterName = "kubernetes"

// kubeconfig is one as kubeadm writes it: the client's identity inside.
func kubeconfig(user, url string, ca []byte, p pair) ([]byte, error) {
	key, err := encodeKey(p.key)
	if err != nil {
		return nil, err
	}
	name := user + "@" + clusterName
	c := api.NewConfig()
	c.Clusters[clusterName] = &api.Cluster{Server: url, CertificateAuthorityData: ca}
	c.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: encodeCert(p.cert), ClientKeyData: key}
	c.Contexts[name] = &api.Context{Cluster: clusterName, AuthInfo: user}
	c.CurrentContext = name
	return clientcmd.Write(*c)
}

// identityIn gives the user of a kubeconfig's present context.
func identityIn(content []byte) (*api.Config, *api.AuthInfo, error) {
	c, err := clientcmd.Load(content)
	if err != nil {
		return nil, nil, err
	}
	present, ok := c.Contexts[c.CurrentContext]
	if !ok {
		return nil, nil, fmt.Errorf("no context %q", c.CurrentContext)
	}
	user, ok := c.AuthInfos[present.AuthInfo]
	if !ok || len(user.ClientCertificateData) == 0 {
		return nil, nil, fmt.Errorf("user %q has no client certificate inside", present.AuthInfo)
	}
	return c, user, nil
}
