"""What `millwright watch` sees of a job on a cluster, and how it is shown; the cluster is asked through kubectl."""
