"""The tables: what Taskflow's Task service keeps, as Django would."""
import django.contrib.auth.models
from django.db import models


class Organization(models.Model):
    name = models.CharField(max_length=255)


class User(django.contrib.auth.models.AbstractBaseUser):
    organization = models.ForeignKey(Organization, models.CASCADE)
    email = models.EmailField(unique=True)
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    role = models.CharField(max_length=10)
    profile_img = models.TextField(null=True)
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "email"
    objects = django.contrib.auth.models.BaseUserManager()

    @property
    def name(self):
        return f"{self.first_name} {self.last_name}"


class Project(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE)
    key = models.CharField(max_length=10)
    name = models.CharField(max_length=255)
    # The last number given to a task.
    numbers = models.BigIntegerField(default=0)
    collaborators = models.ManyToManyField(User)


class Task(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE)
    project = models.ForeignKey(Project, models.CASCADE)
    number = models.BigIntegerField()
    parent_task = models.ForeignKey("self", models.CASCADE, null=True, related_name="subtasks")
    title = models.CharField(max_length=255)
    description = models.TextField()
    priority = models.CharField(max_length=6, default="MEDIUM")
    status = models.CharField(max_length=11, default="PENDING")
    start_date = models.DateTimeField()
    due_date = models.DateTimeField(null=True)
    completed_date = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    updated_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.BigIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="task_number")]
        # The order of the list; one index for it, and those of the foreign keys.
        indexes = [models.Index(fields=["organization", "start_date", "id"], name="task_by_start")]


class TaskCollaborator(models.Model):
    task = models.ForeignKey(Task, models.CASCADE, related_name="task_collaborators")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)
    added_by = models.ForeignKey(User, models.CASCADE, related_name="+")
