// The confd of the lab tests, which `make lab-setup` installs. Its last release knows no modules; these versions are
// those of its own Gopkg.lock or, where that names a mere commit, close to it. Written by hand: `go mod tidy` would
// want whatever their tests import, too.
module hola/tests/lab/confd

go 1.24

tool github.com/kelseyhightower/confd

require (
	github.com/BurntSushi/toml v0.3.0 // indirect
	github.com/aws/aws-sdk-go v1.13.41 // indirect
	github.com/coreos/etcd v3.3.4+incompatible // indirect
	github.com/coreos/go-semver v0.2.0 // indirect
	github.com/fsnotify/fsnotify v1.4.7 // indirect
	github.com/garyburd/redigo v1.6.0 // indirect
	github.com/go-ini/ini v1.36.0 // indirect
	github.com/gogo/protobuf v1.0.0 // indirect
	github.com/golang/protobuf v1.1.0 // indirect
	github.com/golang/snappy v0.0.1 // indirect
	github.com/hashicorp/consul v1.0.7 // indirect
	github.com/hashicorp/errwrap v1.0.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.0 // indirect
	github.com/hashicorp/go-multierror v1.0.0 // indirect
	github.com/hashicorp/go-rootcerts v1.0.0 // indirect
	github.com/hashicorp/go-sockaddr v1.0.0 // indirect
	github.com/hashicorp/hcl v1.0.0 // indirect
	github.com/hashicorp/serf v0.8.1 // indirect
	github.com/hashicorp/vault v0.10.1 // indirect
	github.com/jmespath/go-jmespath v0.0.0-20180206201540-c2b33e8439af // indirect
	github.com/kelseyhightower/confd v0.16.0 // indirect
	github.com/kelseyhightower/memkv v0.1.1 // indirect
	github.com/mitchellh/go-homedir v1.0.0 // indirect
	github.com/mitchellh/mapstructure v1.0.0 // indirect
	github.com/ryanuber/go-glob v1.0.0 // indirect
	github.com/samuel/go-zookeeper v0.0.0-20180130194729-c4fab1ac1bec // indirect
	github.com/sethgrid/pester v0.0.0-20190127155807-68a33a018ad0 // indirect
	github.com/sirupsen/logrus v1.0.5 // indirect
	github.com/ugorji/go v1.1.1 // indirect
	github.com/xordataexchange/crypt v0.0.3-0.20170626215501-b2862e3d0a77 // indirect
	golang.org/x/crypto v0.0.0-20180904163835-0709b304e793 // indirect
	golang.org/x/net v0.0.0-20180826012351-8a410e7b638d // indirect
	golang.org/x/sys v0.0.0-20180830151530-49385e6e1522 // indirect
	golang.org/x/text v0.3.0 // indirect
	google.golang.org/genproto v0.0.0-20180817151627-c66870c02cf8 // indirect
	google.golang.org/grpc v1.11.3 // indirect
	gopkg.in/yaml.v2 v2.2.1 // indirect
)
