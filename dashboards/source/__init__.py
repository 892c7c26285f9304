"""Where the dashboards and rules of this directory's parent come from: `make dashboards` writes them anew."""
