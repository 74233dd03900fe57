-- What partitions.py times: statements below `-- side: step`. The setting bench.rows is the number of rows.

-- before: rows
create table rows as select 'r' || k as id, timestamptz '2024-01-01Z' + k * interval '12 months' /
    current_setting('bench.rows')::float8 as event_time, random() * 1 as n0, random() * 2 as n1, random() * 3 as n2,
    random() * 4 as n3, random() * 5 as n4, random() * 6 as n5, random() * 7 as n6, random() * 8 as n7, random() * 9
    as n8, random() * 10 as n9, random() * 11 as n10, random() * 12 as n11, random() * 13 as n12, random() * 14 as
    n13, random() * 15 as n14, random() * 16 as n15, random() * 17 as n16, md5(k::text) as t0, md5(k::text) as t1,
    md5(k::text) as t2 from generate_series(0, current_setting('bench.rows')::bigint - 1) k;
create table asked as select id from rows where random() < 0.1;
create table labels as select id, random() as label from rows;
analyze;

-- flat: made
create table flat (id text not null, event_time timestamptz not null, n0 double precision, n1 double precision, n2
    double precision, n3 double precision, n4 double precision, n5 double precision, n6 double precision, n7 double
    precision, n8 double precision, n9 double precision, n10 double precision, n11 double precision, n12 double
    precision, n13 double precision, n14 double precision, n15 double precision, n16 double precision, t0 text, t1
    text, t2 text, primary key (id));
create index on flat using brin (event_time);

-- flat: filled
insert into flat select * from rows;
analyze flat;

-- flat: a tenth of the ids found again
select count(*) from flat join asked using (id);

-- flat: labels of a month joined
select avg(label * n1) from flat join labels using (id) where event_time >= '2024-06-01Z' and event_time <
    '2024-07-01Z';

-- flat: oldest month taken out
delete from flat where event_time >= '2024-01-01Z' and event_time < '2024-02-01Z';
vacuum flat;

-- partitioned: made
create table part (id text not null, event_time timestamptz not null, n0 double precision, n1 double precision, n2
    double precision, n3 double precision, n4 double precision, n5 double precision, n6 double precision, n7 double
    precision, n8 double precision, n9 double precision, n10 double precision, n11 double precision, n12 double
    precision, n13 double precision, n14 double precision, n15 double precision, n16 double precision, t0 text, t1
    text, t2 text) partition by range (event_time);
create table part_1 partition of part for values from ('2024-01-01Z') to ('2024-02-01Z');
create table part_2 partition of part for values from ('2024-02-01Z') to ('2024-03-01Z');
create table part_3 partition of part for values from ('2024-03-01Z') to ('2024-04-01Z');
create table part_4 partition of part for values from ('2024-04-01Z') to ('2024-05-01Z');
create table part_5 partition of part for values from ('2024-05-01Z') to ('2024-06-01Z');
create table part_6 partition of part for values from ('2024-06-01Z') to ('2024-07-01Z');
create table part_7 partition of part for values from ('2024-07-01Z') to ('2024-08-01Z');
create table part_8 partition of part for values from ('2024-08-01Z') to ('2024-09-01Z');
create table part_9 partition of part for values from ('2024-09-01Z') to ('2024-10-01Z');
create table part_10 partition of part for values from ('2024-10-01Z') to ('2024-11-01Z');
create table part_11 partition of part for values from ('2024-11-01Z') to ('2024-12-01Z');
create table part_12 partition of part for values from ('2024-12-01Z') to ('2025-01-01Z');
create table ids (id text primary key, event_time timestamptz not null);

-- partitioned: filled
insert into part select * from rows;
insert into ids select id, event_time from rows;
analyze part;
analyze ids;

-- partitioned: a tenth of the ids found again
select count(*) from ids join asked using (id);

-- partitioned: labels of a month joined
select avg(label * n1) from part join labels using (id) where event_time >= '2024-06-01Z' and event_time <
    '2024-07-01Z';

-- partitioned: oldest month taken out
alter table part detach partition part_1;
drop table part_1;
delete from ids where event_time >= '2024-01-01Z' and event_time < '2024-02-01Z';
vacuum ids;

-- adopted: bounds of the flat table proven, beside readers and writers
alter table flat add constraint bounds check (event_time >= '2024-01-01Z' and event_time < '2025-01-01Z') not valid;
alter table flat validate constraint bounds;

-- adopted: attached to a new parent
create table parent (id text not null, event_time timestamptz not null, n0 double precision, n1 double precision, n2
    double precision, n3 double precision, n4 double precision, n5 double precision, n6 double precision, n7 double
    precision, n8 double precision, n9 double precision, n10 double precision, n11 double precision, n12 double
    precision, n13 double precision, n14 double precision, n15 double precision, n16 double precision, t0 text, t1
    text, t2 text) partition by range (event_time);
alter table parent attach partition flat for values from ('2024-01-01Z') to ('2025-01-01Z');
