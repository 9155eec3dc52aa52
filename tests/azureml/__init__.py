"""A protocol stub of Azure ML, Entra's login and Key Vault for the real SDKs, with Azurite for Blob Storage. There is no
emulator of Azure ML; nothing here was compared with the service itself: request shapes are those of its published REST
specification, answers and error texts those of the SDK's models and of its documentation.

In a test: the fixture `azure` (tests.azureml.fixtures; tests/conftest.py brings it everywhere).

    def test_...(azure, monkeypatch):
        azure.use(monkeypatch)                      # this process's SDKs reach the stub; a subprocess: env={..., **azure.env}
        azure.compute("gpu")                        # AmlCompute; kind="ComputeInstance", state="Stopped"; kind="Kubernetes",
                                                    #   instance_types={"gpu": {"resources": {...}}}
        azure.environment("runner", ("1", "2"))     # build="log of a failed build" makes its jobs fail
        address = azure.datastore("team", container="rows", credentials="Sas")      # https://ACCOUNT.blob.core.windows.net/rows
        azure.blobs.put("rows", "train.jsonl", b"...")
        azure.model("tiny", "3", folder, kind="mlflow_model"); azure.registry("azureml").model("phi", "7", {"config.json": b""})
        azure.vault().secrets["hf"] = "..."         # the workspace's own; azure.vault("team").url is https://team.vault.azure.net/
        azure.jobs.builds = "log"                   # images that are built (conda, Dockerfile) fail to build
        job = azure.jobs["name"]; job.definition; job.states; job.state("Running").log("line\\n"); job.fail(code, message, log=...)
        job.complete(); job.cancels_by_itself = False; azure.jobs.only
        azure.jobs.arrive(2); job.wait("Completed"); job.wait_log("begun"); azure.room.arrive("GET /x")     # wait for a condition
        azure.execute = True                        # jobs are really run (execution.py); azure.executor.environment["X"] = "1"
        azure.faults.throttle(3); .error(503, times=2, path="GET .*/jobs/"); .delay(60, "jobs"); .hang("cancel"); .drop(); .forbid()
        azure.requests; azure.asked("PUT")          # all that was asked

A call that the service would not understand (an unknown field, path or api-version; a token for another audience) is answered
with an error that names it, and fails the test at its end (`azure.wrong`; `azure.wrong.clear()` in a test of that itself).

How the SDKs get here (`azure.env`): ARM_CLOUD_METADATA_URL and AZUREML_CURRENT_CLOUD (a cloud of its own), AZURE_AUTHORITY_HOST
(login; azure-identity needs `disable_instance_discovery=True` for a host that Microsoft does not know, as in any private cloud),
REQUESTS_CA_BUNDLE and SSL_CERT_FILE, and HTTPS_PROXY: names that only Azure has (ACCOUNT.blob.core.windows.net, NAME.vault.azure.net)
lead to the stub through a proxy, so addresses look as in Azure, and azure-keyvault-secrets' verify_challenge_resource stays on.
Through it nothing else is reached: a call that would leave the machine is refused and fails the test. Blob Storage takes the
account's key, SAS and tokens of the stub's login; its plain http address (azure.blobs.endpoint) takes key and SAS.
`azure.federated(tmp_path)`: workload identity in place of the client's secret. Inside an executed job: a managed identity
(MSI_ENDPOINT, MSI_SECRET), as on Azure ML's nodes.

What a test made in Azurite is removed at its end; the server, Azurite and the tokens that a process holds outlive it. `asking.py`
has the SDK's clients as the stub's own tests use them.

By hand and in another network namespace: `python -m tests.azureml --help`; control.py says what can be done from outside.
"""
