-- A ledger as version 1 made it: two Series, one settled, one job done with a receipt, one waiting.
BEGIN TRANSACTION;
CREATE TABLE event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	type VARCHAR NOT NULL,
	subject VARCHAR NOT NULL,
	data JSON NOT NULL,
	at FLOAT NOT NULL,
	published BOOLEAN NOT NULL
);
INSERT INTO "event" VALUES(1,'penumbra.series.settled','1.2.3','{"study": "1.2", "revision": 1, "reason": "released", "instances": 2, "jobs": 2, "origin": "dimse"}',14.0,0);
CREATE TABLE evidence (
	id INTEGER NOT NULL,
	study_instance_uid VARCHAR(64) NOT NULL,
	series_instance_uid VARCHAR(64) NOT NULL,
	source_uid VARCHAR(64) NOT NULL,
	source_digest VARCHAR(64) NOT NULL,
	profile VARCHAR(64) NOT NULL,
	new_study VARCHAR(64) NOT NULL,
	new_series VARCHAR(64) NOT NULL,
	new_sop VARCHAR(64) NOT NULL,
	patient_pseudonym VARCHAR(64) NOT NULL,
	account VARCHAR(64) NOT NULL,
	code VARCHAR NOT NULL,
	reason VARCHAR NOT NULL,
	rule VARCHAR NOT NULL,
	job INTEGER NOT NULL,
	software VARCHAR NOT NULL,
	at FLOAT NOT NULL,
	last_at FLOAT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (source_uid, source_digest, profile, new_sop)
);
CREATE TABLE evidence_account (
	digest VARCHAR(64) NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (digest)
);
CREATE TABLE evidence_profile (
	digest VARCHAR(64) NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (digest)
);
INSERT INTO "evidence_profile" VALUES('p',X'78DAAB56CA4BCC4D55B252AA50AA050019C503D4');
CREATE TABLE instance (
	id INTEGER NOT NULL,
	sop_instance_uid VARCHAR(64) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	sop_class_uid VARCHAR(64) NOT NULL,
	transfer_syntax_uid VARCHAR(64) NOT NULL,
	study_instance_uid VARCHAR(64) NOT NULL,
	series_instance_uid VARCHAR(64) NOT NULL,
	segment VARCHAR NOT NULL,
	"offset" INTEGER NOT NULL,
	length INTEGER NOT NULL,
	calling_ae VARCHAR(16) NOT NULL,
	called_ae VARCHAR(16) NOT NULL,
	association VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	received_at FLOAT NOT NULL,
	origin VARCHAR NOT NULL,
	rule VARCHAR NOT NULL,
	"conflict" BOOLEAN NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (sop_instance_uid, digest)
);
INSERT INTO "instance" VALUES(1,'1.2.3.1','1111111111111111111111111111111111111111111111111111111111111111','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','1.2','1.2.3','w-1',64,60,'CT','PENUMBRA','a1','10.0.0.1',11.0,'dimse','',0);
INSERT INTO "instance" VALUES(2,'1.2.3.2','2222222222222222222222222222222222222222222222222222222222222222','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','1.2','1.2.3','w-1',128,60,'CT','PENUMBRA','a1','10.0.0.1',12.0,'dimse','',0);
INSERT INTO "instance" VALUES(3,'1.2.3.3','3333333333333333333333333333333333333333333333333333333333333333','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','1.2','1.2.4','w-1',192,60,'CT','PENUMBRA','a1','10.0.0.1',13.0,'dimse','',0);
CREATE TABLE job (
	id INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	study_instance_uid VARCHAR(64) NOT NULL,
	series_instance_uid VARCHAR(64) NOT NULL,
	revision INTEGER NOT NULL,
	rule VARCHAR NOT NULL,
	target VARCHAR NOT NULL,
	profile VARCHAR NOT NULL,
	digest VARCHAR(64) NOT NULL,
	dedup_key VARCHAR NOT NULL,
	lane VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	attempts INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	not_before FLOAT NOT NULL,
	lease_until FLOAT,
	owner VARCHAR NOT NULL,
	fault VARCHAR NOT NULL,
	words VARCHAR NOT NULL,
	created_at FLOAT NOT NULL,
	updated_at FLOAT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (dedup_key)
);
INSERT INTO "job" VALUES(1,'forward','1.2','1.2.3',1,'r','lake','','','forward|1.2|1.2.3|1|r|lake|','forward|lake|1.2|1.2.3||','done',1,1,14.0,NULL,'','','',14.0,17.0);
INSERT INTO "job" VALUES(2,'infer','1.2','1.2.3',1,'r','m','','','infer|1.2|1.2.3|1|r|m|','infer|m|1.2|1.2.3||','waiting',0,0,14.0,NULL,'','','',14.0,14.0);
CREATE TABLE pause (
	target VARCHAR NOT NULL,
	"by" VARCHAR NOT NULL,
	reason VARCHAR NOT NULL,
	at FLOAT NOT NULL,
	PRIMARY KEY (target)
);
CREATE TABLE position (
	segment VARCHAR NOT NULL,
	position INTEGER NOT NULL,
	PRIMARY KEY (segment)
);
INSERT INTO "position" VALUES('w-1',256);
CREATE TABLE receipt (
	id INTEGER NOT NULL,
	job INTEGER NOT NULL,
	destination VARCHAR NOT NULL,
	profile VARCHAR NOT NULL,
	source_digest VARCHAR(64) NOT NULL,
	source_uid VARCHAR(64) NOT NULL,
	sop_instance_uid VARCHAR(64) NOT NULL,
	location VARCHAR NOT NULL,
	digest_sent VARCHAR(64) NOT NULL,
	digest_read_back VARCHAR(64) NOT NULL,
	proof VARCHAR NOT NULL,
	delivered_at FLOAT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (destination, profile, source_uid, source_digest)
);
INSERT INTO "receipt" VALUES(1,1,'lake','','1111111111111111111111111111111111111111111111111111111111111111','1.2.3.1','1.2.3.1','a/b.dcm','1111111111111111111111111111111111111111111111111111111111111111','1111111111111111111111111111111111111111111111111111111111111111','read-back',16.0);
CREATE TABLE series (
	study_instance_uid VARCHAR(64) NOT NULL,
	series_instance_uid VARCHAR(64) NOT NULL,
	modality VARCHAR(16) NOT NULL,
	origin VARCHAR NOT NULL,
	rule VARCHAR NOT NULL,
	instances INTEGER NOT NULL,
	first_at FLOAT NOT NULL,
	last_at FLOAT NOT NULL,
	revision INTEGER NOT NULL,
	open BOOLEAN NOT NULL,
	settled_to INTEGER NOT NULL,
	settled_at FLOAT,
	reason VARCHAR,
	PRIMARY KEY (study_instance_uid, series_instance_uid)
);
INSERT INTO "series" VALUES('1.2','1.2.3','CT','dimse','',2,11.0,12.0,1,0,2,14.0,'released');
INSERT INTO "series" VALUES('1.2','1.2.4','CT','dimse','',1,13.0,13.0,0,1,0,NULL,NULL);
CREATE TABLE version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "version" VALUES(1);
CREATE INDEX instance_by_series ON instance (study_instance_uid, series_instance_uid);
CREATE INDEX series_open ON series (open, last_at);
CREATE INDEX job_lane ON job (lane, state);
CREATE INDEX job_claim ON job (state, not_before);
CREATE INDEX event_unpublished ON event (published, id);
CREATE INDEX evidence_by_study ON evidence (study_instance_uid);
CREATE INDEX evidence_quarantined ON evidence (code) WHERE new_sop = '';
CREATE INDEX evidence_by_new_study ON evidence (new_study);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('event',1);
COMMIT;
