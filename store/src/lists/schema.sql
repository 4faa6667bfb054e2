-- What lists show. Rows stay while their run is archived, and go with it.
CREATE TABLE view_run (
    tenant TEXT NOT NULL, id BLOB NOT NULL,
    version INTEGER NOT NULL, status INTEGER NOT NULL, reason TEXT,
    started_at INTEGER, ended_at INTEGER, created_at INTEGER NOT NULL,
    workflow TEXT, revision INTEGER, requester TEXT NOT NULL, labels BLOB NOT NULL,
    hook TEXT, delivery TEXT, fingerprint TEXT, trouble TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_run_status ON view_run (tenant, status, id);
CREATE INDEX view_run_requester ON view_run (tenant, requester, id);
CREATE INDEX view_run_workflow ON view_run (tenant, workflow, id) WHERE workflow IS NOT NULL;
CREATE INDEX view_run_hook ON view_run (tenant, hook, id) WHERE hook IS NOT NULL;
CREATE INDEX view_run_fingerprint ON view_run (tenant, fingerprint, id) WHERE fingerprint IS NOT NULL;
CREATE INDEX view_run_delivery ON view_run (tenant, hook, delivery, id) WHERE delivery IS NOT NULL;

CREATE TABLE view_label (
    tenant TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, id BLOB NOT NULL,
    PRIMARY KEY (tenant, name, value, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE view_approval (
    tenant TEXT NOT NULL, run BLOB NOT NULL, step INTEGER NOT NULL, asking INTEGER NOT NULL,
    state INTEGER NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL,
    step_name TEXT NOT NULL, workflow TEXT, action TEXT NOT NULL, permission INTEGER NOT NULL,
    requester TEXT NOT NULL, not_requester INTEGER NOT NULL,
    roles TEXT NOT NULL, lowest INTEGER NOT NULL, quorum INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, step, asking)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_approval_at ON view_approval (tenant, at);
CREATE INDEX view_approval_state ON view_approval (tenant, state, at);
