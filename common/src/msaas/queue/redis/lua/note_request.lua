-- List a job by the time of its latest request.
-- KEYS: index
-- ARGV: job_id, ttl
list_job(index, job_id, ttl)
